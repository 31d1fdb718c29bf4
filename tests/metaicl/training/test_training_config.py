"""The configuration of a training: its rates, its bounds of k, its folder, and what a budget makes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaicl.training.config import TrainerConfig, TrainRun, ValidationConfig, run_folder
from task_suites.core.errors import UserError


def test_rates_warm_up_and_fall():
    config = TrainerConfig(max_steps=10, warmup_steps=2, learning_rate=1.0)
    assert [config.rate(s) for s in (0, 1, 2, 6)] == pytest.approx([0.5, 1.0, 1.0, 0.5])
    assert replace(config, lr_scheduler_type="cosine").rate(6) == pytest.approx(0.5)
    assert replace(config, lr_scheduler_type="constant").rate(9) == 1.0


@given(st.integers(1, 9), st.integers(0, 9), st.sampled_from(["linear", "cosine", "constant"]))
def test_no_step_has_a_rate_of_zero_or_above_the_peak(steps, warmup, kind):
    config = TrainerConfig(max_steps=steps, warmup_steps=warmup, learning_rate=0.3, lr_scheduler_type=kind)
    rates = [config.rate(step) for step in range(steps)]
    assert min(rates) > 0 and max(rates) <= 0.3
    assert rates[:warmup] == sorted(rates[:warmup])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)


@pytest.mark.parametrize(
    ("options", "bounds"),
    [
        ({"k": 9}, [9, 9, 9, 9, 9, 9]),
        ({"k": 9, "curriculum_steps": 4}, [1, 3, 5, 7, 9, 9]),
        ({"k": 9, "k_min": 5, "curriculum_steps": 2}, [5, 7, 9, 9, 9, 9]),
    ],
)
def test_the_most_demonstrations_grow_evenly_to_k(options, bounds):
    config = TrainerConfig(**options)
    assert [config.most_demonstrations(step) for step in range(6)] == bounds


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (7, 1), (40, 10), (400, 10)])
def test_a_budget_warms_up_for_a_quarter_of_its_steps_at_most_unless_steps_are_given(steps, warmup):
    within = TrainerConfig().within_budget(steps)
    assert (within.max_steps, within.warmup_steps) == (steps, warmup)
    assert TrainerConfig(warmup_steps=3).within_budget(steps).warmup_steps == 3


def test_what_is_unset_gets_a_value_and_what_is_given_keeps_it():
    unset, given = TrainerConfig().resolved(), TrainerConfig(max_steps=7, warmup_steps=0).resolved()
    assert (unset.max_steps, unset.warmup_steps) == (100, 10)
    assert (given.max_steps, given.warmup_steps) == (7, 0)
    assert given.resolved() == given


@pytest.mark.parametrize(
    ("output_dir", "run_name", "folder"),
    [("a/b", "", "a/b"), ("a/b", "named", "a/b"), ("", "", "runs/own"), ("", "x/y", "runs/x/y"), ("..a", "", "..a")],
)
def test_a_runs_folder_is_the_one_that_is_given_or_lies_in_runs_by_its_name(output_dir, run_name, folder):
    assert run_folder(output_dir, run_name, "own") == Path(folder)


@pytest.mark.parametrize("name", ["/tmp/x", "..", "a/../../b", "."])
def test_a_name_that_leads_out_of_runs_is_refused(name):
    with pytest.raises(UserError, match="run_name leads out of the folder of runs"):
        run_folder("", name, "own")


@pytest.mark.parametrize("given", [".", "..", "below/.."])
def test_the_working_folder_and_those_that_hold_it_are_not_a_runs(tmp_path, monkeypatch, given):
    (tmp_path / "here" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UserError, match="output_dir holds other things than a run"):
        run_folder(given, "", "own")


def test_a_method_of_ones_own_names_its_run_by_its_class():
    assert TrainRun(method="package.module:Mine").folder == Path("runs/Mine")


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: TrainerConfig(k=3, k_min=4), "k_min must be at most k, 3, but is 4"),
        (lambda: TrainerConfig(mixing="weights"), "mixing is weights, but mixing_weights has 0 weights"),
        (lambda: ValidationConfig(seeds=0), "validation_seeds"),
        (lambda: TrainRun(plan=-1), "plan"),
    ],
)
def test_what_cannot_be_trained_is_refused_where_it_is_written(make, named):
    with pytest.raises(UserError, match=named):
        make()
