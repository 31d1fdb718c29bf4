"""A quickstart keeps to its minutes, on a clock that moves only by what a training step and a cell are said to take."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import pytest
from backbones import tiny_config

import eval.quickstart.plan
import eval.quickstart.rates
import eval.quickstart.run
import metaicl.training.estimate
from eval.harness import Comparison
from eval.quickstart.config import QuickstartRun
from eval.quickstart.plan import FILE, kept_plan
from eval.quickstart.run import quickstart
from eval.quickstart.sizes import SIZES, Size
from metaicl.training.trainer import Trainer
from task_suites.core.errors import UserError
from task_suites.sources import SuiteConfig

QUICK = SuiteConfig(["toys:toy_suite"], 40, forms=["options"])
TOYS: dict[str, Size] = {
    "mini": Size(1, 1, 2, 1, 0, True),
    "tiny": Size(1, 1, 2, 1, 0, True),  # the same: of equal sizes the larger name is chosen
    "small": Size(2, 1, 2, 2, 0, True),
    "medium": Size(3, 2, 2, 2, 0, True),
    "large": Size(4, 3, 2, 2, 0, True),
}


class Machine:
    """Its clock, and the seconds that a training step and a cell of a method that runs the model take on it."""

    def __init__(self):
        self.now, self.step, self.cell, self.begun = 0.0, 1.0, 1.0, 0

    def at_step(self):
        self.now += self.step

    def at_cell(self):
        self.now += self.cell


@pytest.fixture
def machine(monkeypatch):
    made = Machine()
    for module in (metaicl.training.estimate, eval.quickstart.run, eval.quickstart.plan, eval.quickstart.rates):
        fake = SimpleNamespace(monotonic=lambda: made.now, time=lambda: made.now)
        monkeypatch.setattr(module, "time", fake)
    for name, size in TOYS.items():
        monkeypatch.setitem(SIZES, name, size)
    step, cell = Trainer.take_step, Comparison._cell

    def take_step(self):
        made.at_step()
        return step(self)

    def run_cell(self, contender, *rest):
        made.at_cell() if contender.name not in ("random", "majority") else None
        return cell(self, contender, *rest)

    # a pass or an answer that is only measured takes what a step or a cell takes
    monkeypatch.setattr(Trainer, "take_step", take_step)
    monkeypatch.setattr(Comparison, "_cell", run_cell)
    rate = metaicl.training.estimate.Rate
    monkeypatch.setattr(eval.quickstart.rates, "training_rate", lambda *a, **k: rate(made.step))
    monkeypatch.setattr(eval.quickstart.rates, "answering_rate", lambda *a, **k: rate(made.cell))
    monkeypatch.setattr(eval.quickstart.rates, "REPORT_SECONDS", 0.0)
    monkeypatch.setattr(eval.quickstart.run, "RESERVE", 3.0)
    return made


@pytest.fixture
def run(tmp_path):
    def make(**more):
        settings = {
            "k": 2,
            "output_dir": str(tmp_path / "q"),
            "run_name": "q",
            "progress": False,
            "minutes": 5.0,
            **more,
        }
        return QuickstartRun(QUICK, backbone=tiny_config(), **settings)

    return make


@pytest.mark.slow
def test_the_estimate_is_what_a_steady_machine_takes(machine, run, tmp_path):
    for seconds in (0.25, 1.0):
        machine.step, machine.cell = seconds, 2 * seconds
        summary = quickstart(run(output_dir=str(tmp_path / f"q{seconds}")))
        assert summary.size == "large" and summary.cut == []
        assert summary.estimate_error <= 0.05  # one cell cannot separate a fixed part from one that grows


SPEEDS = [pytest.param(*one, marks=pytest.mark.slow) for one in [(1.0, "large"), (2.7, "medium"), (4.0, "small")]]


@pytest.mark.parametrize(("speed", "size"), [*SPEEDS, (6.0, "tiny")])
def test_a_slower_machine_gets_a_smaller_size_and_ends_in_time(machine, run, speed, size):
    machine.step, machine.cell = 2 * speed, speed
    summary = quickstart(run(minutes=2.5))
    assert summary.size == size and summary.seconds <= 150
    assert (summary.cut == []) == (size == "large") and summary.steps == TOYS[size].steps


@pytest.mark.slow
def test_a_machine_that_becomes_slower_in_the_middle_gets_a_smaller_comparison_that_can_be_repeated(
    machine, run, tmp_path, monkeypatch, capsys
):
    machine.step, machine.cell = 1.0, 1.0
    train = eval.quickstart.run._trained

    def then_slower(choice):
        trained = train(choice)
        machine.cell = 6.0
        return trained

    with monkeypatch.context() as patched:
        patched.setattr(eval.quickstart.run, "_trained", then_slower)
        summary = quickstart(run(minutes=2.5))
    assert summary.steps == 4 and summary.size in ("small", "medium") and summary.seconds <= 150
    out = capsys.readouterr().out
    assert "The time left does not suffice for the size" in out and f"Size {summary.size} with 4 training steps" in out
    assert any("instead of 3" in clause for clause in summary.cut)
    machine.cell = 0.0
    again = quickstart(run(output_dir=str(tmp_path / "again"), minutes=None, size=summary.size, max_steps=4))
    assert again.gain_points == summary.gain_points and again.cut == summary.cut
    second = quickstart(run(minutes=2.5))  # the finished run stays as it is, though there is time now
    assert second.size == summary.size and second.gain_points == summary.gain_points


@pytest.mark.slow
def test_a_machine_that_stalls_within_a_comparison_leaves_the_last_one_that_is_complete(machine, run, monkeypatch):
    machine.step = machine.cell = 1.0
    fill, cells = Comparison.fill, []

    def stalling(self, made, *rest):
        cells.append(made.name)
        machine.cell = 1.0 if len(cells) < 40 else 20.0
        return fill(self, made, *rest)

    monkeypatch.setattr(Comparison, "fill", stalling)
    summary = quickstart(run(minutes=3.0))
    assert summary.size in ("small", "medium") and summary.seconds <= 180


@pytest.mark.slow
def test_values_that_are_given_stay_and_what_does_not_fit_is_refused_with_ways_out_that_work(machine, run, tmp_path):
    machine.step, machine.cell = 5.0, 5.0
    asked = {"max_steps": 4, "seeds": 3, "max_tasks": 2, "queries": 2, "finetune_cells": 0}
    with pytest.raises(UserError, match=r"takes too long for the budget.*--minutes (\d+).*--size large") as error:
        quickstart(run(minutes=2.0, **asked))
    more = float(str(error.value).partition("--minutes ")[2].partition(")")[0])
    for name, way in (("longer", {"minutes": more}), ("named", {"minutes": None, "size": "large"})):
        summary = quickstart(run(output_dir=str(tmp_path / name), **{**asked, **way}))
        assert summary.steps == 4 and summary.cut == []


def test_timing_takes_a_quarter_of_the_minutes_and_then_the_smallest_size_runs(machine, run, capsys):
    machine.step, machine.cell = 30.0, 10.0
    summary = quickstart(run(minutes=2.0))
    assert summary.size == "tiny" and summary.steps == 1
    out = capsys.readouterr().out
    assert "guessed: icl_calibrated answers, metaicl answers, metaicl training, protonet answers" in out
    assert "that are left, but nothing smaller can be run, so this is" in out


def test_what_was_timed_is_not_timed_again_by_the_next_try_in_the_folder(machine, run, monkeypatch):
    machine.step, machine.cell = 5.0, 5.0
    with pytest.raises(UserError, match="takes too long for the budget"):
        quickstart(run(minutes=2.0, max_steps=40))

    def timed(*args, **kwargs):
        raise AssertionError("it was timed before")

    for name in ("kept_rate", "training_rate", "answering_rate"):
        monkeypatch.setattr(eval.quickstart.rates, name, timed)
    assert quickstart(run(minutes=60.0, max_steps=1)).steps == 1


class Killed(Exception):
    pass


def killed_at(moment):
    def stop(*args):
        if moment == "in the training":
            args[0].checkpoints.finish()  # a killed process writes nothing later, as a thread of this one would
        raise Killed

    return stop if moment else None


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before the training", "in the training", "in the comparison"])
def test_an_interrupted_run_goes_on_with_the_minutes_that_are_left(machine, run, tmp_path, monkeypatch, moment):
    machine.step, machine.cell = 2.0, 1.0
    whole = quickstart(run(output_dir=str(tmp_path / "whole"), minutes=4.0))
    machine.now = 0.0
    with monkeypatch.context() as patched:
        if moment == "before the training":
            patched.setattr(eval.quickstart.run, "_trained", killed_at(moment))
        elif moment == "in the training":
            patched.setattr(Trainer, "_finish", killed_at(moment))
        else:
            patched.setattr(eval.quickstart.run, "_compared", killed_at(moment))
        with pytest.raises(Killed):
            quickstart(run(minutes=4.0))
    spent = machine.now
    for file in (tmp_path / "q").rglob("*"):
        os.utime(file, (spent, spent))  # the last change was when the process was killed
    machine.now = 10_000.0
    second = quickstart(run(minutes=4.0))
    assert second.seconds == pytest.approx(spent + machine.now - 10_000.0, abs=0.1)
    assert second.seconds <= 240 and second.steps == whole.steps
    if second.size == whole.size:
        assert second.gain_points == whole.gain_points


def test_a_plan_belongs_to_one_configuration(run, tmp_path):
    folder = tmp_path / "q"
    first = kept_plan(run(), folder, now=0.0)
    first.size, first.final, first.before = "small", True, 7.0
    first.write(folder)
    os.utime(folder / FILE, (5.0, 5.0))
    again = kept_plan(run(json=True, progress=True), folder, now=100.0)
    assert (again.size, again.final, again.before, again.began) == ("small", True, 12.0, 100.0)
    other = kept_plan(run(minutes=9.0), folder, now=100.0)
    assert (other.size, other.final, other.before) == (None, False, 0.0)
    again.evaluated = "tiny"
    again.write(folder)
    ended = kept_plan(run(), folder, now=200.0)
    assert ended.before == 0.0 and ended.evaluated == "tiny"
    assert json.loads((folder / FILE).read_text())["size"] == "small"
