"""lm-evaluation-harness itself on the same episodes and weights: log-probabilities and accuracies agree."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json

import pytest
from toys import choice_task, tag_task, toy_task

from eval.agreement import ROUNDING, Agreement, TaskAgreement, agreement
from eval.config import Protocol
from metaicl.cli.main import main
from metaicl.lm.config import BackboneConfig
from task_suites.core.errors import UserError

harness = pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="lm_eval is not installed")
SAME = TaskAgreement("a", 4, 8, 16, 2e-5, 0.5, 0.25, 0.5, 0.25, 0)


@harness
@pytest.mark.slow
@pytest.mark.parametrize(("looked_at_again", "largest"), [(ROUNDING, ROUNDING), (0.0, 1e-9)])  # float32, then float64
def test_the_harness_gives_the_same_scores_on_a_list_of_labels_and_on_options_of_each_question(
    monkeypatch, looked_at_again, largest
):
    monkeypatch.setattr("eval.agreement.ROUNDING", looked_at_again)
    tasks = [toy_task(), choice_task(), tag_task()]
    found = agreement(tasks, Protocol([2, 5], 1, 6), BackboneConfig("tiny-random"))
    assert found.skipped == {tasks[2].name: "examples of the form tags"}
    assert [(t.task, t.k) for t in found.tasks] == [(task.name, k) for task in tasks[:2] for k in (0, 2, 5)]
    assert found.max_logprob_diff <= largest and found.accuracy_mismatches == 0
    assert not any(t.other_choices for t in found.tasks)
    assert "agrees on 2 tasks" in found.sentence()


@harness
@pytest.mark.slow
def test_an_evaluation_that_is_checked_leaves_the_comparison_in_its_folder(tmp_path, capsys):
    words = ["evaluate", "--suite", "toys:toy_suite", "--model", "tiny-random", "--methods", "icl", "--k", "2"]
    main([*words, "--seeds", "1", "--queries", "3", "--output_dir", str(tmp_path), "--check_with", "lm-eval"])
    assert "lm-evaluation-harness" in capsys.readouterr().out
    written = json.loads((tmp_path / "agreement.json").read_text())
    assert written["max_logprob_diff"] <= ROUNDING and written["tasks"][0]["k"] == 0


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({}, "agrees on 1 task: log-probabilities differ by at most 2.0e-05, accuracies differ in 0 of 1 cells"),
        (
            {"our_acc": 0.625},
            "DIFFERS on 1 task: log-probabilities differ by at most 2.0e-05, accuracies differ in 1 of 1 cells",
        ),
        ({"max_logprob_diff": 0.3}, "DIFFERS on 1 task: log-probabilities differ by at most 3.0e-01"),
    ],
)
def test_a_difference_is_stated(changed, sentence):
    task = TaskAgreement(**{**vars(SAME), **changed})
    assert sentence in Agreement((task,), {}, "0.4").sentence()


def test_a_harness_that_is_missing_is_missed_before_the_comparison(monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", absent)
    with pytest.raises(UserError, match=r"not installed. Install it: pip install .metaicl\[lm-eval\]"):
        agreement([toy_task()], Protocol([2]), BackboneConfig("tiny-random"))
