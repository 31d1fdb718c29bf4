"""Nominal 95 % intervals hold the truth 93 to 97 times of 100, also for few tasks (see benchmarks/coverage.py)."""

import numpy as np
import pytest

from eval.cells import Cell
from eval.statistics import gain_interval, mean_interval

ROUNDS = 1200  # a standard error of 0.6 %


def share(tasks, drawn_of):
    rng, hits = np.random.default_rng(tasks), 0
    for _ in range(ROUNDS):
        drawn = drawn_of(rng, tasks)
        cells = [Cell("m", f"t{t}", s, 16, float(v), run=f"r{r}") for (t, s, r), v in np.ndenumerate(drawn)]
        found = mean_interval(cells)
        hits += found.low <= 50 <= found.high
    return 100 * hits / ROUNDS


@pytest.mark.parametrize("tasks", [6, 10])
def test_intervals_cover_where_tasks_and_support_sets_vary(tasks):
    def drawn(rng, n):
        return (0.5 + rng.normal(0, 0.08, (n, 1, 1)) + rng.normal(0, 0.04, (n, 3, 1))).clip(0, 1)

    assert 93 <= share(tasks, drawn) <= 97


def test_intervals_of_several_trainings_cover_where_trainings_vary():
    def drawn(rng, n):
        tasks, sets, runs = (
            rng.normal(0, 0.06, (n, 1, 1)),
            rng.normal(0, 0.03, (n, 2, 1)),
            rng.normal(0, 0.02, (1, 1, 3)),
        )
        return (0.5 + tasks + sets + runs + rng.normal(0, 0.02, (n, 1, 3))).clip(0, 1)

    assert 93 <= share(10, drawn) <= 97.5


def test_without_the_trainings_part_the_interval_would_be_too_short():
    rng, hits = np.random.default_rng(0), 0
    for _ in range(300):  # one training each time: its influence is not seen in its own cells
        values = 0.5 + rng.normal(0, 0.02, (20, 1)) + rng.normal(0, 0.02)
        found = mean_interval([Cell("m", f"t{t}", 0, 16, float(v)) for t, (v,) in enumerate(values)])
        hits += found.low <= 50 <= found.high
    assert hits / 300 < 0.6


def test_the_sign_flip_test_rejects_a_true_hypothesis_as_rarely_as_it_says():
    rng, rejected, rounds = np.random.default_rng(3), 0, 400
    for _ in range(rounds):
        sides = rng.normal(0.5, 0.05, (2, 8)).clip(0, 1)
        a, b = ([Cell("m", f"t{t}", 0, 16, float(v)) for t, v in enumerate(side)] for side in sides)
        rejected += gain_interval(a, b).p <= 0.05
    assert rejected / rounds <= 0.075  # 5 % and two and a half standard errors
