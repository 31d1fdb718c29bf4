"""The estimator of a training in closed form, on a clock that moves only when a job says so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metered import Metered, estimators_clock
from toys import toy_suite

from metaicl.training.config import TrainerConfig, ValidationConfig
from metaicl.training.estimate import (
    SAMPLES,
    Rate,
    answering_rate,
    first_episodes,
    fitted,
    spread,
    steps_done,
    steps_seconds,
    steps_within,
    timed,
    training_rate,
    validation_seconds,
)

TASKS = toy_suite().split("meta_train")
positive = st.floats(1e-6, 1e3)
sizes = st.lists(st.integers(1, 10_000), min_size=2, max_size=30)


@pytest.fixture
def clock(monkeypatch):
    return estimators_clock(monkeypatch)


@given(positive, st.floats(0, 1e3), sizes)
def test_a_line_through_jobs_that_lie_on_one_gives_the_seconds_of_any_jobs(fixed, per_token, sizes):
    rate = fitted([(n, fixed + per_token * n) for n in sizes])
    expected = sum(fixed + per_token * n for n in sizes)
    assert rate.seconds(sizes) == pytest.approx(expected, rel=1e-6)
    if len(set(sizes)) > 1:
        assert rate.seconds([20_000]) == pytest.approx(fixed + per_token * 20_000, rel=1e-3)


@given(st.lists(st.tuples(st.integers(1, 1000), st.floats(0, 100)), max_size=8))
def test_no_part_of_a_rate_is_negative_and_the_mean_job_takes_the_mean_time(samples):
    rate = fitted(samples)
    assert rate.fixed >= 0 and rate.per_token >= 0
    if samples:
        assert rate.seconds([n for n, _ in samples]) == pytest.approx(sum(s for _, s in samples), rel=1e-6, abs=1e-6)


@given(st.lists(st.integers(0, 1000), max_size=40), st.integers(1, 5))
def test_jobs_that_are_timed_are_different_ones_from_every_part_of_the_sizes(sizes, count):
    places = spread(sizes, count)
    assert len(set(places)) == len(places) == min(count, len(sizes))
    assert [sizes[i] for i in places] == sorted(sizes[i] for i in places)


def test_a_job_that_did_nothing_is_not_counted(clock):
    jobs = [(10, lambda: clock.spend(5)), (20, lambda: bool(clock.spend(100))), (30, lambda: clock.spend(15))]
    assert timed(jobs) == Rate(0.0, 0.5) and clock.now == 120


def test_a_training_takes_its_steps_times_the_mean_step_and_the_method_stays_as_it_was(clock):
    method, config = Metered(clock, 2.0, 0.1), TrainerConfig(max_steps=7, k=4, queries=2, episodes_per_step=2)
    episodes = first_episodes(TASKS, config)
    assert len(episodes) == 14
    tokens = [method.tokens(e) for e in episodes]
    rate = training_rate(method, episodes)
    assert steps_seconds(rate, tokens, config, 7) == pytest.approx(sum(2 + 0.1 * n for n in tokens), rel=1e-6)
    assert method.weight.grad is None and method.dropped == 0


def test_a_budget_allows_the_steps_whose_estimate_fills_it(clock):
    assert steps_within(21.0, Metered(clock, 2.0), toy_suite(), TrainerConfig(k=4, queries=2)) == 10
    assert steps_within(0.5, Metered(clock, 2.0), toy_suite(), TrainerConfig(k=4, queries=2)) == 1


def test_validation_takes_one_answer_for_each_task_and_support_set(clock):
    assert validation_seconds(Metered(clock, 3.0), TASKS[:2], ValidationConfig(4, 3, 2)) == pytest.approx(2 * 3 * 3.0)


def test_answers_that_are_timed_are_few_whatever_is_to_come(clock):
    answering_rate(Metered(clock, 1.0), first_episodes(TASKS, TrainerConfig(max_steps=20, k=4, queries=2)))
    assert clock.now == SAMPLES


def test_the_newest_checkpoint_says_how_many_steps_are_done(tmp_path):
    assert steps_done(tmp_path) == 0
    for step in (5, 15, 10):
        (tmp_path / "checkpoints" / f"step-{step:06d}").mkdir(parents=True)
        (tmp_path / "checkpoints" / f"step-{step:06d}" / "trainer.json").write_text("{}")
    (tmp_path / "checkpoints" / "step-000020").mkdir()  # not whole yet
    assert steps_done(tmp_path) == 15
