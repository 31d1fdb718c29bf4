"""The intervals and tests, against closed forms, enumeration and simulation."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
from scipy import stats

from eval.cells import Cell
from eval.statistics import Interval, gain_interval, mean_interval, task_means, worst_seed
from task_suites.core.errors import UserError


def cells(table, method="m"):
    """Cells out of {task: {seed: score}}."""
    return [Cell(method, task, seed, 16, score) for task, seeds in table.items() for seed, score in seeds.items()]


def grid(score, tasks=8, seeds=3):
    return cells({f"task{t}": {s: score(t, s) for s in range(seeds)} for t in range(tasks)})


def noisy(seed, tasks=8, seeds=3, spread=0.1):
    rng = random.Random(seed)
    base = [rng.uniform(0.3, 0.7) for _ in range(tasks)]
    return grid(lambda t, s: base[t] + rng.uniform(-spread, spread), tasks, seeds)


def test_mean_is_over_tasks_of_the_mean_over_seeds():
    got = mean_interval(cells({"a": {1: 1.0, 2: 0.0, 3: 0.5}, "b": {1: 0.1}}))
    assert got.mean == pytest.approx(100 * (0.5 + 0.1) / 2)
    assert got.low <= got.mean <= got.high


def test_equal_scores_give_an_interval_without_width():
    got = mean_interval(grid(lambda t, s: 0.25))
    assert (got.mean, got.low, got.high) == pytest.approx((25.0, 25.0, 25.0))


def test_the_interval_is_students_on_the_means_of_tasks():
    table = {"a": {0: 0.31, 1: 0.49}, "b": {0: 0.43, 1: 0.5}, "c": {0: 0.71, 1: 0.52}, "d": {0: 0.37, 1: 0.44}}
    got = mean_interval(cells(table))
    means = [50 * sum(seeds.values()) for seeds in table.values()]
    theirs = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    assert (got.low, got.high) == pytest.approx((theirs.low, theirs.high))


def test_the_interval_of_a_gain_is_that_of_the_paired_t_test():
    a, b = noisy(1, seeds=1), noisy(2, seeds=1)
    theirs = stats.ttest_rel(*([100 * c.score for c in side] for side in (a, b))).confidence_interval(0.95)
    got = gain_interval(a, b)
    assert (got.low, got.high) == pytest.approx((theirs.low, theirs.high))


def test_one_task_gives_an_interval_over_seeds_only():
    got = mean_interval(cells({"a": {0: 0.4, 1: 0.5, 2: 0.6}}))
    theirs = stats.ttest_1samp([40, 50, 60], 0).confidence_interval(0.95)
    assert (got.low, got.high) == pytest.approx((theirs.low, theirs.high))


def test_the_ends_are_scores():
    got = mean_interval(cells({"a": {0: 0.0}, "b": {0: 1.0}}))
    assert (got.mean, got.low, got.high) == (50.0, 0.0, 100.0)
    back = gain_interval(cells({"a": {0: 0.0}, "b": {0: 1.0}}), cells({"a": {0: 1.0}, "b": {0: 0.0}}))
    assert (back.mean, back.low, back.high) == (0.0, -100.0, 100.0)


def runs_of(scores, method="m"):
    """Cells of several runs out of scores [task, seed, run]."""
    return [Cell(method, f"t{t}", s, 16, float(v), run=f"r{r}") for (t, s, r), v in np.ndenumerate(np.array(scores))]


def test_runs_that_agree_leave_the_interval_as_it_is():
    one = 0.5 + np.random.default_rng(0).normal(0, 0.1, (6, 2, 1))
    got = mean_interval(runs_of(np.repeat(one, 3, axis=2)))
    alone = mean_interval(runs_of(one))
    assert (got.mean, got.low, got.high) == pytest.approx((alone.mean, alone.low, alone.high))


def test_runs_that_differ_widen_the_interval_by_their_variance():
    # Two runs 2 points apart on every task: their mean has a variance of 2^2 / 2 / 2, with one degree of freedom.
    base = 0.3 + np.random.default_rng(0).normal(0, 0.05, (6, 1, 1))
    got = mean_interval(runs_of(base + np.array([0.0, 0.02])))
    parts = np.array([(100 * base.ravel()).var(ddof=1) / 6, 1.0])
    freedom = parts.sum() ** 2 / (parts**2 / [5, 1]).sum()
    assert got.high - got.low == pytest.approx(2 * stats.t.ppf(0.975, freedom) * np.sqrt(parts.sum()))


def test_runs_of_one_cell_each_give_an_interval_over_runs():
    got = mean_interval(runs_of([[[0.4, 0.5, 0.6]]]))
    theirs = stats.ttest_1samp([40, 50, 60], 0).confidence_interval(0.95)
    assert (got.low, got.high) == pytest.approx((theirs.low, theirs.high))


def test_a_gain_has_the_runs_of_both_sides_in_its_interval():
    rng = np.random.default_rng(1)
    base, runs = 0.4 + rng.normal(0, 0.05, (6, 2, 1)), np.array([0.0, 0.02])
    many, one = runs_of(base + runs), runs_of(np.full((6, 2, 1), 0.4))
    gain, mean = gain_interval(many, one), mean_interval(many)
    assert (gain.mean, gain.high - gain.low) == pytest.approx((mean.mean - 40, mean.high - mean.low))
    both = gain_interval(runs_of(base + runs), runs_of(base + runs))
    assert both.high - both.low == pytest.approx(2 * stats.t.ppf(0.975, 2) * np.sqrt(2))


def test_ragged_seeds_weigh_tasks_alike():
    got = mean_interval(cells({"a": {0: 0.5, 1: 0.5, 2: 0.5}, "b": {0: 0.5}}))
    assert (got.low, got.high) == pytest.approx((50.0, 50.0))


def test_one_cell_gives_no_interval():
    got = mean_interval(cells({"a": {0: 0.4}}))
    assert got.mean == pytest.approx(40) and math.isnan(got.low) and math.isnan(got.high)
    assert str(got) == "40.0 [no interval]"


def test_clustering_widens_the_interval_where_tasks_differ():
    got = mean_interval(grid(lambda t, s: 0.1 + 0.1 * t, tasks=8, seeds=10))
    values = np.repeat(0.1 + 0.1 * np.arange(8), 10)
    naive = np.random.default_rng(0).choice(values, size=(5000, 80)).mean(axis=1)
    low, high = 100 * np.percentile(naive, [2.5, 97.5])
    assert got.high - got.low > 2 * (high - low)


def test_numbers_do_not_depend_on_the_order_of_cells_or_calls():
    a, b = noisy(1), noisy(2)
    first = mean_interval(a), gain_interval(a, b)
    np.random.seed(5)
    random.Random(3).shuffle(a)
    random.Random(4).shuffle(b)
    assert (mean_interval(a), gain_interval(a, b)) == first


def test_gain_interval_is_paired():
    a, b = grid(lambda t, s: 0.15 + 0.1 * t + 0.01 * s), grid(lambda t, s: 0.1 + 0.1 * t + 0.01 * s)
    got = gain_interval(a, b)
    assert (got.mean, got.low, got.high) == pytest.approx((5.0, 5.0, 5.0))
    assert mean_interval(a).high - mean_interval(a).low > 20
    assert (got.tasks, got.cells) == (8, 24)


def test_gain_reverses_with_its_sides():
    a, b = noisy(1), noisy(2)
    there, back = gain_interval(a, b), gain_interval(b, a)
    assert back.mean == pytest.approx(-there.mean)
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))
    assert (back.p, back.wins, back.losses) == (pytest.approx(there.p), there.losses, there.wins)


def test_p_value_is_that_of_the_enumerated_sign_flips():
    differences = [0.10, -0.02, 0.05, 0.07, 0.01, -0.03]
    got = gain_interval(grid(lambda t, s: 0.5 + differences[t], 6), grid(lambda t, s: 0.5, 6))
    observed = abs(sum(differences))
    flips = [abs(sum(x * d for x, d in zip(f, differences, strict=True))) for f in itertools.product((1, -1), repeat=6)]
    assert got.p == pytest.approx(sum(f >= observed - 1e-12 for f in flips) / 64)


def test_smallest_p_value_is_two_to_the_one_minus_tasks():
    assert gain_interval(grid(lambda t, s: 0.6, 5), grid(lambda t, s: 0.5, 5)).p == pytest.approx(2**-4)


def test_equal_methods_have_p_one_and_only_ties():
    got = gain_interval(noisy(1), noisy(1))
    assert (got.mean, got.p, got.wins, got.ties, got.losses) == (0.0, 1.0, 0, 8, 0)


def test_p_value_of_one_task_is_over_seeds():
    a, b = grid(lambda t, s: 0.5 + 0.01 * (s + 1), 1, 6), grid(lambda t, s: 0.5, 1, 6)
    assert gain_interval(a, b).p == pytest.approx(2**-5)


def test_one_difference_has_p_one():
    assert gain_interval(cells({"a": {0: 0.9}}), cells({"a": {0: 0.4}})).p == 1.0


def test_wins_ties_and_losses_count_tasks():
    a = cells({"a": {0: 0.9, 1: 0.4}, "b": {0: 0.5, 1: 0.5}, "c": {0: 0.1, 1: 0.2}, "d": {0: 0.6, 1: 0.4}})
    b = cells({task: {0: 0.5, 1: 0.5} for task in "abcd"})
    got = gain_interval(a, b)
    assert (got.wins, got.ties, got.losses) == (1, 2, 1)


def test_worst_seed_is_the_one_with_the_lowest_mean():
    a = grid(lambda t, s: (0.6, 0.45, 0.7)[s])
    assert worst_seed(a) == (1, pytest.approx(45.0))
    got = gain_interval(a, grid(lambda t, s: 0.5))
    assert (got.worst_seed, got.worst_gain) == (1, pytest.approx(-5.0))


def test_task_means_span_the_seeds():
    assert task_means(cells({"a": {0: 0.25, 1: 0.75}})) == {"a": Interval(50.0, 25.0, 75.0)}


def test_unpaired_cells_are_named():
    a, b = noisy(1), noisy(2)
    ending = (
        "; expected the same tasks and seeds on both sides. "
        "Evaluate the missing cells, or compare only the shared cells (common=True)."
    )
    first = ", ".join(f"(task{i}, {seed})" for i in (0, 1, 2) for seed in (0, 1, 2))
    for one, other, found in (
        (a, b[:-1], "(task7, 2) only in the first"),
        (a[1:], b, "(task0, 0) only in the second"),
        (a[1:], b[:-1], "(task7, 2) only in the first; (task0, 0) only in the second"),
        (a[:8], cells({"task9": {0: 0.5}}), f"{first[:-12]} only in the first; (task9, 0) only in the second"),
        (
            a[:9],
            cells({"task9": {0: 0.5}}),
            f"{first[:-12]} and 1 more only in the first; (task9, 0) only in the second",
        ),
    ):
        with pytest.raises(UserError) as error:
            gain_interval(one, other)
        assert str(error.value) == f"some (task, seed) are on one side only; found {found}{ending}"


def test_common_restricts_both_sides_to_shared_cells():
    a, b = noisy(1), noisy(2)
    assert gain_interval(a[:-1], b[1:], common=True) == gain_interval(a[1:-1], b[1:-1])
    with pytest.raises(
        UserError, match=r"^the two sides have no \(task, seed\) in common; expected at least one pair$"
    ):
        gain_interval(a, cells({"other": {0: 0.5}}), common=True)


def test_a_p_value_of_many_tasks_is_estimated_from_flips_that_the_name_draws():
    a, b = noisy(1, tasks=16), noisy(2, tasks=16)
    values = {name: gain_interval(a, b, name=name).p for name in ("x", "y", "z")}
    assert {name: gain_interval(a, b, name=name).p for name in values} == values
    assert len(set(values.values())) > 1 and max(values.values()) - min(values.values()) < 0.05


def test_interval_prints_with_one_decimal_and_no_negative_zero():
    assert str(Interval(42.06, 38.0, 46.34)) == "42.1 [38.0, 46.3]"
    assert str(Interval(-0.04, -1.25, 0.01)) == "0.0 [-1.2, 0.0]"
