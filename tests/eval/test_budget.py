"""The steps that a budget allows are measured once for each training, and then kept."""

from __future__ import annotations

import json

import pytest

from eval import budget
from eval.budget import within_budget
from metaicl.training.config import TrainerConfig
from task_suites.core.errors import UserError


@pytest.fixture
def measured(monkeypatch) -> list:
    """What was measured: (seconds, method) of each time; the machine takes a step in two seconds."""
    found = []

    def steps_within(seconds, method, suite, trainer):
        found.append((seconds, method))
        return int(seconds // 2)

    monkeypatch.setattr(budget, "steps_within", steps_within)
    return found


def test_steps_are_measured_once_and_a_quarter_of_them_at_most_warm_up(measured, tmp_path):
    path = tmp_path / "run" / "budget.json"
    for seconds in (24.0, 9.0):  # the second time what was kept counts, whatever the budget
        made = within_budget(path, "a", seconds, lambda: "method", None, TrainerConfig())
        assert (made.max_steps, made.warmup_steps) == (12, 3)
    assert measured == [(24.0, "method")]
    assert json.loads(path.read_text()) == {"config": "a", "steps": 12}


def test_another_training_is_measured_again_and_replaces_what_was_kept(measured, tmp_path):
    for name, seconds in (("a", 24.0), ("b", 40.0), ("b", 80.0)):
        made = within_budget(tmp_path / "budget.json", name, seconds, lambda: None, None, TrainerConfig())
    assert made.max_steps == 20 and len(measured) == 2


def test_steps_that_are_given_contradict_a_budget_and_nothing_is_measured(measured, tmp_path):
    with pytest.raises(UserError, match=r"max_steps is 7, but the steps come from a budget of 24 s"):
        within_budget(tmp_path / "b.json", "a", 24.0, lambda: None, None, TrainerConfig(max_steps=7))
    assert measured == [] and list(tmp_path.iterdir()) == []
