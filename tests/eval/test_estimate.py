"""What a comparison is estimated to take, on a clock that moves only when a job says so."""

from __future__ import annotations

from dataclasses import replace

import pytest
from metered import Metered, estimators_clock
from scripted import PROTOCOL, scripted
from toys import choice_task, toy_suite

from eval.contenders import Contender
from eval.estimate import cells_seconds, comparison_seconds, kept_rate
from eval.harness import Comparison
from metaicl.training.estimate import (
    SAMPLES,
    Rate,
)

TASKS = toy_suite().split("meta_train")


@pytest.fixture
def clock(monkeypatch):
    return estimators_clock(monkeypatch)


def test_a_comparison_takes_its_unfinished_cells_and_keeps_those_that_were_timed(clock, tmp_path):
    made = Contender("metered", "Metered", lambda: Metered(clock, 3.0), "metered")
    comparison = Comparison(TASKS, PROTOCOL, tmp_path)
    planned = len(comparison.plan(made))
    assert planned == len(TASKS) * 2 * 2
    seconds = comparison_seconds(comparison, [made, replace(made, name="few", fingerprint="few", cells=1)])
    assert len(comparison.unfinished(made)) == planned - SAMPLES
    assert seconds == pytest.approx(3.0 * (planned - SAMPLES))  # two cells of the other are too few to measure
    assert clock.now == 3.0 * (SAMPLES + 1)  # and one to warm up


def test_a_cell_that_is_refused_takes_no_time_in_an_estimate(clock, tmp_path):
    made = Contender("metered", "Metered", lambda: Metered(clock, 3.0), "metered")
    comparison = Comparison([choice_task(), *TASKS], PROTOCOL, tmp_path)
    method = made.build()
    assert kept_rate(comparison, made, method, warm_up=False) == Rate(3.0, 0.0)
    assert cells_seconds(comparison, made, method, Rate(3.0)) == 3.0 * (len(TASKS) * 4 - SAMPLES)


def test_a_part_of_a_comparison_shares_its_finished_cells_and_draws_the_same_episodes(tmp_path):
    whole = Comparison(TASKS, PROTOCOL, tmp_path)
    part = whole.part(TASKS[:1], 1, [2, 4])
    part.run(scripted())
    assert len(part.plan(scripted())) == 2 and not part.unfinished(scripted())
    assert len(whole.unfinished(scripted())) == len(whole.plan(scripted())) - 2
    assert part.results([scripted()]).seeds == [0]
