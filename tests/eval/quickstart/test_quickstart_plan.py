"""The plan of a quickstart: its seconds over several starts, and which plan a folder keeps for which command."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace

import pytest

from eval.quickstart import plan
from eval.quickstart.config import QuickstartRun
from eval.quickstart.plan import FILE, Choice, Clock, Kept, Pace, Timings, kept_plan
from eval.quickstart.rates import Rates
from metaicl.training.estimate import Rate
from task_suites.sources import SuiteConfig

RUN = QuickstartRun()


@pytest.fixture
def now(monkeypatch) -> list[float]:
    """The monotonic clock, as a list of one number."""
    time = [100.0]
    monkeypatch.setattr(plan.time, "monotonic", lambda: time[0])
    return time


def test_the_seconds_of_earlier_starts_count_and_without_a_limit_all_time_is_left(now):
    clock = Clock(60.0, started=now[0], before=25.0)
    now[0] += 30
    assert (clock.seconds, clock.left) == (55.0, 5.0)
    assert Clock(None).left == math.inf


@pytest.mark.parametrize(
    ("expected", "seconds", "slower"), [(0.0, 9.0, 1.0), (10.0, 5.0, 1.0), (10.0, 10.0, 1.0), (10.0, 25.0, 2.5)]
)
def test_a_machine_is_as_much_slower_as_its_cells_took_longer_and_never_quicker(expected, seconds, slower):
    assert Pace(expected, seconds).slower == slower


def test_timings_add_up_by_part_and_stand_beside_the_estimates(now, tmp_path):
    timings = Timings({"training": 20.0, "report": 3.0})
    for name, spent in (("training", 12.0), ("loading", 1.5), ("training", 10.0)):
        with timings.part(name):
            now[0] += spent
    timings.write(tmp_path / "t.json", total=9)
    assert json.loads((tmp_path / "t.json").read_text()) == {
        "total": 9,
        "parts": [
            {"part": "training", "estimated": 20.0, "seconds": 22.0},
            {"part": "report", "estimated": 3.0, "seconds": 0.0},
            {"part": "loading", "estimated": 0.0, "seconds": 1.5},
        ],
    }


def test_a_plan_is_kept_for_its_own_command_whatever_that_prints(tmp_path):
    fresh = kept_plan(RUN, tmp_path, 50.0)
    assert (fresh.size, fresh.before) == (None, 0.0)
    replace(fresh, size="small", final=True).write(tmp_path)
    for same in (RUN, replace(RUN, json=True, progress=False)):
        assert kept_plan(same, tmp_path, 60.0).size == "small"
    two = replace(RUN, suite=SuiteConfig(["a", "b"], 40, forms=["options"]))
    assert kept_plan(two, tmp_path, 60.0).size is None
    other = kept_plan(replace(RUN, k=4), tmp_path, 60.0)
    assert other == Kept(other.command, 60.0, machine=other.machine) and other.command != fresh.command


def test_a_start_that_was_killed_lasted_until_the_last_change_of_a_file(tmp_path):
    fresh = kept_plan(RUN, tmp_path)
    command, on = fresh.command, fresh.machine
    Kept(command, began=1000.0, size="tiny", before=7.0).write(tmp_path)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "metrics.jsonl").write_text("")
    os.utime(tmp_path / FILE, (1000, 1000))
    os.utime(tmp_path / "deep" / "metrics.jsonl", (1042, 1042))
    assert kept_plan(RUN, tmp_path, 5000.0) == Kept(command, 5000.0, "tiny", before=49.0, machine=on)


def test_a_run_that_has_ended_has_all_its_minutes_again_and_a_size_that_is_none_is_no_plan(tmp_path):
    fresh = kept_plan(RUN, tmp_path)
    command, on = fresh.command, fresh.machine
    Kept(command, 1000.0, "small", True, "tiny", 300.0).write(tmp_path)
    assert kept_plan(RUN, tmp_path, 5000.0) == Kept(command, 5000.0, "small", True, "tiny", 0.0, on)
    Kept(command, 1000.0, "gigantic", True, "tiny", 300.0).write(tmp_path)  # of another version
    assert kept_plan(RUN, tmp_path, 5000.0) == Kept(command, 5000.0, machine=on)


def test_a_cell_that_was_not_measured_is_expected_to_take_no_time():
    class Work:
        class comparison:
            @staticmethod
            def size(method, task, seed, k):
                return {"task": 100, "refused": 0}[task]

    class Made:
        def __init__(self, name):
            self.name, self.build = name, lambda: None

    choice = Choice(Work(), Rates(answering={"icl": Rate(1.0, 0.02)}), Timings({}), 0.0)
    assert choice.cell_seconds(Work(), Made("icl"), ("task", 0, 4)) == pytest.approx(3.0)
    assert choice.cell_seconds(Work(), Made("icl"), ("refused", 0, 4)) == 0.0
    assert choice.cell_seconds(Work(), Made("knn"), ("task", 0, 4)) == 0.0


def test_what_was_timed_serves_every_size_and_budget_on_the_same_machine(tmp_path, monkeypatch):
    rates = Rates(
        2.0, {"icl": Rate(1.0, 0.5), "metaicl": Rate(3.0)}, step={"metaicl": 4.0}, guessed={"metaicl answers"}
    )
    replace(kept_plan(RUN, tmp_path), rates=rates.to_json()).write(tmp_path)
    for other in (replace(RUN, minutes=2.0), replace(RUN, size="mini"), replace(RUN, max_steps=3)):
        found = Rates.from_json(kept_plan(other, tmp_path).rates)
        assert found == Rates(2.0, {"icl": Rate(1.0, 0.5)}, step={"metaicl": 4.0})
    assert not kept_plan(replace(RUN, k=4), tmp_path).rates
    assert not kept_plan(RUN, tmp_path, now=plan.time.time() + 3700).rates  # the machine may have less work by then
    monkeypatch.setattr(plan, "machine", lambda: "another machine")
    assert not kept_plan(RUN, tmp_path).rates
