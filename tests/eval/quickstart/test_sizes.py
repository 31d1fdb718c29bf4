"""Which size of a quickstart is chosen: a pure function of how long each size takes and of the seconds there are."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from eval.quickstart.sizes import FIELDS, SAFETY, SIZES, SLOWDOWN, Asked, Need, fitting

NAMES = list(reversed(SIZES))  # the largest first
seconds = st.floats(0.01, 1e5)


@st.composite
def needs(draw):
    """Needs that grow with the size, the core never above the total."""
    parts = draw(st.lists(st.tuples(seconds, st.floats(0, 1)), min_size=1, max_size=len(NAMES)))
    totals = sorted((total for total, _ in parts), reverse=True)
    cores = sorted((total * share for total, share in parts), reverse=True)
    return {
        name: Need(total, min(core, total))
        for name, total, core in zip(NAMES[-len(parts) :], totals, cores, strict=True)
    }


def rank(name):
    return -1 if name is None else list(SIZES).index(name)


@given(needs(), seconds)
def test_the_chosen_size_fits_with_its_margin_or_is_the_smallest_and_fits_without(needs, left):
    name = fitting(needs, left)
    larger = [other for other in needs if rank(other) > rank(name)]
    assert not any(needs[other].fits(left) for other in larger)
    if name is None:
        assert min(need.total for need in needs.values()) > left
    elif name == list(needs)[-1]:
        assert needs[name].total <= left
    else:
        assert needs[name].total <= SAFETY * left and SLOWDOWN * needs[name].core <= left


@given(needs(), seconds, st.floats(1, 100))
def test_more_time_and_a_quicker_machine_never_choose_a_smaller_size(needs, left, factor):
    before = rank(fitting(needs, left))
    assert rank(fitting(needs, left * factor)) >= before
    quicker = {name: Need(need.total / factor, need.core / factor) for name, need in needs.items()}
    assert rank(fitting(quicker, left)) >= before


@given(st.builds(Asked, *[st.none() | st.integers(1, 99)] * len(FIELDS)))
def test_a_value_that_is_given_is_that_of_every_size_and_is_never_called_cut(asked):
    for name in SIZES:
        size = asked.at(name)
        assert {field: getattr(size, field) for field in asked.given} == asked.given
        assert len(asked.cut(size)) <= len(FIELDS) - len(asked.given) + (not size.curve)
    sizes = list(asked.choices().values())
    assert len(set(sizes)) == len(sizes) and sizes[0] == asked.at("large")


def test_each_size_does_part_of_the_next_and_all_have_the_same_queries():
    ordered = list(SIZES.values())
    for smaller, larger in pairwise(ordered):
        assert smaller.queries == larger.queries  # else no cell of one would be a cell of the other
        assert all(getattr(smaller, field) <= getattr(larger, field) for field in (*FIELDS, "curve"))
    assert [len(Asked().cut(size)) for size in ordered] == [5, 5, 3, 3, 0]
