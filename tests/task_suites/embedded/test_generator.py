"""From draws to the examples of a split."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from task_suites.embedded.generator import MAX_WORDS, MIN_WORDS, SIZES, attempts_of, example_at, materialise, side_of
from task_suites.example import Example


def numbered(rng: random.Random) -> Example:
    """Between 5 and 40 words, one of them a number."""
    return Example(f"{'word ' * rng.randint(4, 39)}{rng.randrange(10**6)}", "yes", ("yes", "no"))


@given(st.sampled_from(sorted(SIZES)), st.integers(0, 300))
def test_an_example_is_of_its_split_and_of_the_allowed_length(split, index):
    example = example_at("toy", split, index, numbered)
    assert side_of(example.content) == split and MIN_WORDS <= len(example.text.split()) <= MAX_WORDS
    assert example == example_at("toy", split, index, numbered)


def test_known_attempts_give_the_examples_that_a_search_gives():
    for split, size in SIZES.items():
        attempts = attempts_of("toy", split, numbered)
        calls = []

        def counted(rng: random.Random, calls: list[int] = calls) -> Example:
            calls.append(1)
            return numbered(rng)

        quick = materialise("toy", split, counted, attempts)
        assert quick == materialise("toy", split, numbered) and len(quick) == size
        assert len(calls) == len(attempts)  # nothing is drawn to be rejected


def test_a_quarter_of_all_contents_is_for_testing():
    share = sum(side_of(str(i)) == "test" for i in range(4000)) / 4000
    assert 0.22 < share < 0.28
