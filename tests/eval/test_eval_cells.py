"""Cells as JSON, and the predictions that a run keeps of them."""

from __future__ import annotations

import json

import pytest

from eval.cells import Cell, Prediction, Refusal, prediction, predictions_at
from task_suites.core.errors import UserError


def test_an_entry_of_the_results_has_what_is_known_without_predictions_and_key():
    cell = Cell("icl", "mood", 0, 4, 0.5, "accuracy", 2, seconds=3.0, predictions=(Prediction("a"),), key="k")
    found = cell.to_json()
    assert found["score"] == 0.5 and not {"predictions", "key", "ece", "run"} & found.keys()
    assert Cell(**found) == Cell("icl", "mood", 0, 4, 0.5, "accuracy", 2, seconds=3.0)
    refusal = Refusal("icl", "mood", 0, 4, "too long", False, key="k")
    assert "key" not in refusal.to_json() and refusal.to_json()["by_design"] is False


def test_the_seconds_of_answering_are_without_those_of_adapting():
    assert Cell("icl", "mood", 0, 4, 0.5, seconds=3.0, adapt_seconds=1.0).query_seconds == 2.0


def test_predictions_are_read_by_method_and_k(tmp_path):
    folder = tmp_path / "predictions"
    folder.mkdir()
    lines = [
        {"task": "mood", "seed": 0, "k": k, "index": i, "input": f"{k} {i}", "answer": "good", "truth": "bad"}
        for k in (2, 4)
        for i in range(3)
    ]
    (folder / "icl.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = dict(predictions_at(tmp_path, "icl", 4))
    assert found == {("mood", 0, i): Prediction(f"4 {i}", answer="good", truth="bad") for i in range(3)}
    assert found[("mood", 0, 1)] == prediction(lines[4])
    assert not list(predictions_at(tmp_path, "absent", 4))
    (folder / "odd.jsonl").write_text("[]\n")
    with pytest.raises(UserError, match=r"odd\.jsonl:1: not a JSON object; found list"):
        list(predictions_at(tmp_path, "odd", 4))
