"""Tests of many methods, against tables, closed forms, simulation and invariances."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from eval.cells import Cell
from eval.statistics import compared, gain_interval, holm, mean_interval, ranks, signed_rank
from task_suites.core.errors import UserError


def of(scores, method="m"):
    """Cells of one method out of scores [task] or [task, seed]."""
    each = np.array(scores).reshape(len(scores), -1)
    return [Cell(method, f"t{t}", s, 16, float(v)) for (t, s), v in np.ndenumerate(each)]


def methods(scores):
    """Cells of several methods out of {name: scores}."""
    return {name: of(values, name) for name, values in scores.items()}


def drawn(seed, number=4, tasks=8, spread=0.1):
    rng = np.random.default_rng(seed)
    return methods({f"m{i}": (0.5 + rng.normal(0, spread, tasks)).clip(0, 1) for i in range(number)})


def test_holm_corrects_as_in_his_example():
    # Holm 1979, as worked in Demšar 2006, section 3.2.2: the smallest of four times 4, the next times 3, ...
    assert holm([0.016, 0.05, 0.004, 0.03]) == pytest.approx([0.048, 0.06, 0.016, 0.06])
    assert holm([]) == [] and holm([0.04]) == [0.04] and holm([0.9, 0.8]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_no_correction_and_bonferronis(values):
    corrected = holm(values)
    for p, q in zip(values, corrected, strict=True):
        assert p <= q <= min(1.0, len(values) * p) + 1e-12
    assert [q for _, q in sorted(zip(values, corrected, strict=True))] == sorted(corrected)


def test_holm_keeps_the_family_wise_error():
    rng, false = np.random.default_rng(0), 0
    for p in rng.uniform(size=(2000, 6)):
        false += min(holm(p)) <= 0.05
    assert 0.035 <= false / 2000 <= 0.065


def test_nemenyis_difference_is_that_of_demsars_table():
    # Demšar 2006, table 5(a): q at 0.05 is 2.343, 2.569, 2.728 for 3, 4, 5 methods; his example: 4 methods, 14 tasks
    for number, q in ((3, 2.343), (4, 2.569), (5, 2.728)):
        found = ranks(drawn(0, number, 14))
        assert found.critical_difference == pytest.approx(q * math.sqrt(number * (number + 1) / 84), abs=1e-3)
    assert ranks(drawn(0, 4, 14)).critical_difference == pytest.approx(1.25, abs=0.005)


def test_friedmans_p_is_scipys():
    cells = drawn(1)
    columns = [[c.score for c in own] for own in cells.values()]
    assert ranks(cells).p == pytest.approx(stats.friedmanchisquare(*columns).pvalue)


def test_ranks_are_means_over_tasks_and_ties_share_theirs():
    found = ranks(methods({"a": [0.9, 0.8], "b": [0.5, 0.8], "c": [0.1, 0.2]}))
    assert found.means == {"a": 1.25, "b": 1.75, "c": 3.0} and found.tasks == 2
    assert ranks(methods({"a": [0.5, 0.5], "b": [0.5, 0.5], "c": [0.5, 0.5]})).p == 1.0


def test_groups_are_the_largest_sets_that_are_not_told_apart():
    scores = {
        name: [place + 0.001 * t for t in range(20)]
        for name, place in zip("abcdef", np.arange(0.6, 0, -0.1), strict=True)
    }
    found = ranks(methods(scores))  # ranks 1 to 6 exactly; the difference is 1.69
    assert 1 < found.critical_difference < 2
    assert found.groups == [["a", "b"], ["b", "c"], ["c", "d"], ["d", "e"], ["e", "f"]]


def test_two_methods_or_one_task_have_no_ranks():
    assert ranks(drawn(0, 2)) is None and ranks(drawn(0, 4, 1)) is None and ranks({}) is None


def test_ranks_are_on_the_tasks_that_all_methods_have():
    cells = drawn(0)
    cells["m0"] = cells["m0"][:5]
    assert ranks(cells).tasks == 5


def test_large_gains_are_better_small_ones_equivalent_losses_worse():
    assert signed_rank([8, 9, 10, 11, 12, 9]).better > 0.99
    assert signed_rank([0.1, -0.2, 0.3, 0.0, -0.1, 0.2]).equivalent > 0.99
    assert signed_rank([-8, -9, -10, -11, -12, -9]).worse > 0.99
    with pytest.raises(UserError, match="there are no differences to test; expected those of at least one task"):
        signed_rank([])


def test_one_task_gives_the_probability_of_its_dirichlet_weight():
    # Weights (v, 1 - v) of the pseudo-difference 0 and of the difference d: all means of two but the first one's with
    # itself lie above the margin, and their weight 1 - v^2 is over a half where v < sqrt(1/2).
    expected = stats.beta(0.5, 1).cdf(math.sqrt(0.5))
    assert signed_rank([10.0]).better == pytest.approx(expected, abs=0.02)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.floats(-40, 40), min_size=2, max_size=8), st.floats(0.5, 3))
def test_the_signed_rank_test_mirrors_and_scales(values, factor):
    there, back = signed_rank(values), signed_rank([-v for v in values])
    assert (there.better, there.worse) == (back.worse, back.better)
    assert there.better + there.equivalent + there.worse == pytest.approx(1)
    scaled = signed_rank([4 * v for v in values], margin=4.0)  # a power of two: no rounding
    assert (scaled.better, scaled.worse) == (there.better, there.worse)
    assert signed_rank(values, margin=1 + factor).equivalent >= there.equivalent


def test_without_a_difference_better_and_worse_are_claimed_rarely():
    rng, claimed = np.random.default_rng(0), 0
    for values in rng.normal(0, 0.5, size=(40, 10)):  # well within the margin of 1 point
        found = signed_rank(values.tolist())
        claimed += max(found.better, found.worse) > 0.95
    assert claimed / 40 <= 0.05


def test_one_method_is_compared_with_each_of_the_others():
    cells = drawn(3, 4, 10) | {"none": []}
    found = compared("m0", cells)
    assert [pair.first for pair in found] == ["m0"] * 3 and {pair.second for pair in found} == {"m1", "m2", "m3"}
    raw = {pair.second: gain_interval(cells["m0"], cells[pair.second]) for pair in found}
    assert all(pair.gain == raw[pair.second] for pair in found)
    assert [pair.p for pair in found] == sorted(holm([gain.p for gain in raw.values()]))


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 1000), st.randoms(use_true_random=False))
def test_no_result_depends_on_the_order_of_cells_or_methods(seed, random):
    cells = drawn(seed, 4, 6)
    mixed = {name: random.sample(own, len(own)) for name, own in random.sample(sorted(cells.items()), len(cells))}
    assert ranks(mixed) == ranks(cells) and compared("m0", mixed) == compared("m0", cells)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 1000))
def test_no_result_depends_on_the_names_of_methods(seed):
    cells = drawn(seed, 4, 6)
    renamed = {name[::-1]: own for name, own in cells.items()}
    assert list(ranks(renamed).means.values()) == list(ranks(cells).means.values())
    assert [(p.p, p.gain) for p in compared("0m", renamed)] == [(p.p, p.gain) for p in compared("m0", cells)]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.floats(0.3, 0.4), min_size=2, max_size=2), min_size=2, max_size=6),
    st.floats(0.0, 0.2),
    st.floats(0.5, 1.0),
)
def test_intervals_shift_and_scale_with_scores(scores, shift, factor):
    moved = mean_interval(of(factor * np.array(scores) + shift))
    plain = mean_interval(of(scores))
    expected = [min(100, max(0, factor * end + 100 * shift)) for end in (plain.low, plain.mean, plain.high)]
    if plain.low > 0 and plain.high < 100:  # an end that was cut to a score cannot be moved
        assert [moved.low, moved.mean, moved.high] == pytest.approx(expected, abs=1e-6)
