"""Random orders of positions, and how queries are shared out over classes."""

from __future__ import annotations

import random
from collections import Counter
from itertools import chain, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_suites.orders import Joined, lazily_shuffled, shares, shuffled, turns

SIZES = st.dictionaries(st.sampled_from("abcde"), st.integers(0, 9), min_size=1)


@given(st.lists(st.lists(st.integers(), max_size=4), max_size=5))
def test_joined_sequences_are_read_as_their_concatenation(runs):
    joined, plain = Joined(runs), list(chain.from_iterable(runs))
    assert len(joined) == len(plain) and [joined[i] for i in range(len(plain))] == plain
    assert list(joined[1:-1]) == plain[1:-1] and list(joined[::2]) == plain[::2]


@given(st.integers(0, 40), st.integers(0, 9), st.booleans())
def test_a_shuffle_has_every_item_once_and_is_a_function_of_its_seed(size, seed, large):
    first, again = (list(shuffled(range(size), random.Random(seed), large)) for _ in range(2))
    assert sorted(first) == list(range(size)) and first == again


@given(st.integers(1, 40), st.integers(0, 9), st.data())
def test_a_longer_lazy_draw_begins_with_the_shorter_one(size, seed, data):
    k = data.draw(st.integers(0, size))
    short, long = (list(islice(lazily_shuffled(range(size), random.Random(seed)), n)) for n in (k, size))
    assert long[:k] == short


@given(SIZES, st.integers(1, 30))
def test_shares_add_up_are_near_the_exact_ones_and_leave_no_class_out(sizes, total):
    present = {c: size for c, size in sizes.items() if size}
    if not present or total < len(present):
        return
    found = shares(sizes, total)
    whole = sum(present.values())
    assert (set(found) == set(present) and sum(found.values()) == min(total, whole)) or whole < total
    assert min(found.values()) >= 1
    for c, share in found.items():
        assert share <= 1 or share <= present[c] * min(total, whole) / whole + 1


@given(SIZES, st.integers(0, 9))
def test_turns_name_each_class_as_often_as_it_has_examples_and_evenly(sizes, seed):
    order = list(turns(sizes, random.Random(seed)))
    assert Counter(order) == Counter({c: n for c, n in sizes.items() if n})
    for end in range(len(order)):
        taken = Counter(order[:end])
        left = [c for c, n in sizes.items() if taken[c] < n]
        assert all(taken[c] >= max(taken.values(), default=0) - 1 for c in left)


def test_turns_do_not_depend_on_the_order_of_the_classes():
    first = list(turns({"a": 3, "b": 2}, random.Random(1)))
    assert first == list(turns({"b": 2, "a": 3}, random.Random(1)))


def test_positions_outside_are_refused():
    with pytest.raises(IndexError):
        Joined([[1, 2]])[5]
