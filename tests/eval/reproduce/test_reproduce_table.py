"""Scores as a paper computes them, and means over seeds and then over tasks."""

from __future__ import annotations

import pytest

from eval.cells import Prediction
from eval.reproduce.protocol import Published
from eval.reproduce.table import auc_roc, markdown, metaicl, row_of
from task_suites.core.errors import UserError
from task_suites.task import Task


def test_scores_are_the_papers():
    options = ["a", "b"]
    answers = [Prediction("q", options, [0.9, 0.1], "a", truth) for truth in "aab"]
    labelled = Task("t", "classification", lambda split: [], labels=("a", "b"))
    assert metaicl(labelled, answers) == pytest.approx((0.8 + 0) / 2)
    assert metaicl(Task("t", "multiple_choice", lambda split: []), answers) == pytest.approx(2 / 3)
    scores = [Prediction("q", options, [0.0, s], "a", t) for s, t in ((0.1, "a"), (0.4, "a"), (0.35, "b"), (0.8, "b"))]
    assert auc_roc(labelled, scores) == pytest.approx(0.75)  # scikit-learn's own example
    with pytest.raises(UserError, match="all queries have the same right answer"):
        auc_roc(labelled, scores[:2])


def test_means_are_taken_over_seeds_and_then_over_tasks():
    published = Published.read("metaicl")
    row = row_of(published.rows["MetaICL"], [43.2, 41.6], {"a": {"1": 10.0, "2": 30.0}, "b": {"1": 50.0, "2": 40.0}})
    assert (row.mean, row.worst) == (32.5, 25.0)
    assert "| MetaICL | 43.2/41.6 | 32.5/25.0 | -10.7 | 2 |" in markdown(published, "hr_to_lr", [row], "tiny", [])
