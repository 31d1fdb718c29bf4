"""Answers to a file of inputs, in the form that the demonstrations have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metaicl.inference.answered_rows import Shown, answer_questions
from metaicl.inference.fitted import FittedMethod
from metaicl.inference.opening import open_method
from metaicl.inference.questions import read_questions
from task_suites.core.errors import UserError

TEXTS, LABELS = ["a fig", "a saw", "a pear", "an axe"], ["fruit", "tool", "fruit", "tool"]
DEMOS = [{"input": text, "output": label} for text, label in zip(TEXTS, LABELS, strict=True)]


def lines(path: Path, rows: list) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def answered(demos: Path, inputs: Path, *options: Any) -> list[dict[str, Any]]:
    questions = read_questions(demos, inputs)
    fitted = FittedMethod.around(open_method("tiny-random"), questions.support, questions.labels)
    return list(answer_questions(fitted, questions, *options))


def test_repeated_outputs_make_a_classification(tmp_path):
    demos = lines(tmp_path / "d.jsonl", DEMOS)
    inputs = lines(tmp_path / "i.jsonl", [{"input": "a plum", "id": 7}])
    (row,) = answered(demos, inputs)
    assert row["id"] == 7 and set(row["scores"]) == {"fruit", "tool"}
    assert row["answer"] == max(row["scores"], key=row["scores"].get)


def test_distinct_outputs_make_free_text(tmp_path):
    demos = lines(tmp_path / "d.jsonl", [{"input": "1", "output": "one"}, {"input": "2", "output": "two"}])
    inputs = lines(tmp_path / "i.jsonl", [{"input": "3"}])
    (row,) = answered(demos, inputs)
    assert isinstance(row["answer"], str) and "scores" not in row


def test_demonstrations_with_accepted_answers_are_free_text(tmp_path):
    rows = [{"input": str(i), "output": "one", "accepted": ["1"]} for i in range(3)] + [{"input": "2", "output": "two"}]
    inputs = lines(tmp_path / "i.jsonl", [{"input": "3"}])
    (row,) = answered(lines(tmp_path / "d.jsonl", rows), inputs)
    assert isinstance(row["answer"], str) and "scores" not in row


def test_tagged_demonstrations_make_tags(tmp_path):
    demos = lines(tmp_path / "d.jsonl", [{"tokens": ["in", "Rome"], "tags": ["O", "B-PLACE"]}])
    inputs = lines(tmp_path / "i.jsonl", [{"tokens": ["to", "Oslo", "now"]}])
    (row,) = answered(demos, inputs)
    assert len(row["answer"]) == 3 and set(row["answer"]) <= {"O", "B-PLACE"}


@pytest.mark.parametrize(
    ("demos", "inputs", "message"),
    [
        (["{"], [{"input": "x"}], r"d\.jsonl:1: not JSON"),
        ([], [{"input": "x"}], r"d\.jsonl: no demonstrations"),
        ([{"input": "a", "outputs": "b"}], [{"input": "x"}], r"d\.jsonl:1: unknown key 'outputs'.*Did you mean output"),
        ([{"input": "a", "output": "b"}], [{"review": "x"}], r"i\.jsonl:1: input is missing"),
        ([{"input": "a", "output": "b", "options": ["b", "c"]}], [{"input": "x"}], r"i\.jsonl:1: options are missing"),
        ([{"input": "a", "output": "b"}], [{"input": 3}], r"i\.jsonl:1: input has a wrong type; found 3"),
        ([{"tokens": ["a"], "tags": ["O"]}], [{"tokens": "ab"}], r"i\.jsonl:1: tokens has a wrong type"),
        ([{"input": "a", "output": "b"}], ["[1]"], r"i\.jsonl:1: not a JSON object"),
    ],
)
def test_bad_files_are_one_error_with_file_and_line(tmp_path, demos, inputs, message):
    paths = lines(tmp_path / "d.jsonl", demos), lines(tmp_path / "i.jsonl", inputs)
    with pytest.raises(UserError, match=message):
        answered(*paths)


def test_rows_at_the_beginning_are_passed_over(tmp_path):
    demos, inputs = lines(tmp_path / "d.jsonl", DEMOS), lines(tmp_path / "i.jsonl", [{"input": t} for t in "abc"])
    whole = answered(demos, inputs)
    assert [row["input"] for row in answered(demos, inputs, Shown(), 2)] == ["c"] and len(whole) == 3


def test_probabilities_and_a_refusal_to_answer_stand_beside_the_scores(tmp_path):
    demos, inputs = lines(tmp_path / "d.jsonl", DEMOS), lines(tmp_path / "i.jsonl", [{"input": "a plum"}])
    (row,) = answered(demos, inputs, Shown(probabilities=True, at_least=1.0))
    assert row["answer"] is None and sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert row["probabilities"].keys() == row["scores"].keys() == {"fruit", "tool"}
