"""`metaicl evaluate` ends with a status of its own where a cell has no score that should have one."""

from __future__ import annotations

import sys

import pytest

import eval.refusals
from eval.refusals import GAPS
from metaicl.cli import evaluate
from metaicl.cli.main import main


@pytest.mark.parametrize("gaps", [[], ["a cell"]])
def test_the_status_says_whether_a_score_is_missing(monkeypatch, gaps):
    monkeypatch.setattr(evaluate, "run_evaluation", lambda config, command: "results")
    monkeypatch.setattr(eval.refusals, "gaps", lambda results: gaps if results == "results" else None)
    if not gaps:
        main(["evaluate"])
        return
    with pytest.raises(SystemExit) as stop:
        main(["evaluate"])
    assert stop.value.code == GAPS


def test_the_results_say_the_command_as_a_shell_takes_it(monkeypatch):
    seen = []
    monkeypatch.setattr(evaluate, "run_evaluation", lambda config, command: seen.append(command))
    monkeypatch.setattr(eval.refusals, "gaps", lambda results: [])
    monkeypatch.setattr(sys, "argv", ["/venv/bin/metaicl", "evaluate", "--run_name", "two words"])
    main()
    assert seen == ["metaicl evaluate --run_name 'two words'"]
