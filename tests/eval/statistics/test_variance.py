"""The parts of the variance, against simulation and closed forms, and the sizes that follow from them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from eval.cells import Cell
from eval.statistics import needed, variance
from task_suites.core.errors import UserError


def of(values):
    """Cells out of points [task, seed, run]."""
    several = values.shape[2] > 1
    return [
        Cell("m", f"t{t:03}", s, 16, float(v) / 100, run=f"r{r}" if several else None)
        for (t, s, r), v in np.ndenumerate(values)
    ]


def simulated(rng, tasks, seeds, runs, sizes):
    task, support, run, both, rest = sizes
    return (
        50
        + rng.normal(0, task, (tasks, 1, 1))
        + rng.normal(0, support, (tasks, seeds, 1))
        + rng.normal(0, run, (1, 1, runs))
        + rng.normal(0, both, (tasks, 1, runs))
        + rng.normal(0, rest, (tasks, seeds, runs))
    )


def test_the_parts_are_those_that_were_simulated():
    rng, sizes = np.random.default_rng(0), (5.0, 3.0, 2.0, 1.5, 1.0)
    found = [variance(of(simulated(rng, 40, 4, 8, sizes))) for _ in range(30)]
    got = np.mean([[f.task, f.support, f.run, f.task_run, f.rest] for f in found], axis=0)
    assert got == pytest.approx(np.square(sizes), rel=0.15)


def test_with_one_run_the_parts_are_those_of_the_one_way_analysis():
    values = simulated(np.random.default_rng(1), 6, 3, 1, (5, 3, 0, 0, 0))
    found, rows = variance(of(values)), values[:, :, 0]
    f = stats.f_oneway(*rows).statistic  # between over within
    assert found.support == pytest.approx(rows.var(axis=1, ddof=1).mean())
    assert found.task == pytest.approx((f - 1) * found.support / 3)
    assert found.run is None and sum(found.shares.values()) == pytest.approx(1)


def test_one_support_set_shows_no_variance_between_them():
    values = simulated(np.random.default_rng(1), 6, 1, 1, (5, 3, 0, 0, 0))
    assert variance(of(values)).task == pytest.approx(values.var(ddof=1)) and variance(of(values)).support is None
    runs = variance(of(simulated(np.random.default_rng(1), 6, 1, 3, (5, 0, 2, 1, 0))))
    assert runs.support is None and runs.rest is None and runs.run > 0


def test_equal_scores_have_no_variance():
    assert set(variance(of(np.full((3, 2, 2), 40.0))).shares.values()) == {0.0}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(-20, 20), st.sampled_from([0.5, 0.25]))
def test_parts_do_not_shift_and_scale_with_the_square(seed, shift, factor):
    values = simulated(np.random.default_rng(seed), 4, 2, 2, (4, 2, 1, 1, 1))
    plain, moved = variance(of(values)), variance(of(factor * (values - 50) + 50 + shift))
    for one, other in zip(vars(plain).values(), vars(moved).values(), strict=True):
        assert other == pytest.approx(factor**2 * one, abs=1e-6)


def test_the_number_of_support_sets_gives_the_power_that_it_says():
    rng, tasks, sizes = np.random.default_rng(0), 8, (1.0, 6.0, 0, 0, 0)
    base = of(np.full((tasks, 3, 1), 50.0))
    found = needed(of(simulated(rng, tasks, 3, 1, sizes)), base, 4.0)
    parts = variance(of(simulated(np.random.default_rng(0), tasks, 3, 1, sizes)))
    each = rng.normal(4, np.sqrt(parts.task + parts.support / found.seeds), (4000, tasks))
    power = np.mean(stats.ttest_1samp(each, 0, axis=1).pvalue < 0.05)
    fewer = rng.normal(4, np.sqrt(parts.task + parts.support / (found.seeds - 1)), (4000, tasks))
    assert power >= 0.78 and np.mean(stats.ttest_1samp(fewer, 0, axis=1).pvalue < 0.05) < 0.82


def test_no_number_of_support_sets_makes_up_for_few_tasks():
    values = simulated(np.random.default_rng(2), 6, 3, 1, (10, 1, 0, 0, 0))
    found = needed(of(values), of(np.full((6, 3, 1), 50.0)), 2.0)
    assert found.seeds is None and 100 < found.tasks <= 1000
    assert needed(of(values), of(np.full((6, 3, 1), 50.0)), 0.01).tasks is None


def test_a_difference_that_never_varies_is_shown_by_two_tasks():
    always = needed(of(np.full((6, 3, 1), 60.0)), of(np.full((6, 3, 1), 50.0)), 5.0)
    assert (always.seeds, always.tasks) == (1, 2)


@pytest.mark.parametrize(
    ("difference", "power", "message"),
    [
        (0.0, 0.8, "the difference must not be 0, .*; found difference 0, power 0.8"),
        (1.0, 1.0, "power must be between"),
    ],
)
def test_nothing_to_plan_for_is_refused(difference, power, message):
    cells = of(simulated(np.random.default_rng(2), 6, 3, 1, (5, 1, 0, 0, 0)))
    with pytest.raises(UserError, match=message):
        needed(cells, cells, difference, power)


def test_too_few_cells_show_no_variance():
    assert variance(of(np.full((1, 2, 1), 50.0))) is None
    ragged = [Cell("m", "a", 0, 16, 0.5), Cell("m", "b", 1, 16, 0.5)]  # no seed that both tasks have
    one = of(np.arange(40.0, 46).reshape(6, 1, 1))
    assert variance(ragged) is None and needed(one, one, 1.0) is None
