"""`max_words` leaves out long examples, and tasks only because of what they lost or of a minimum that was given."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from task_suites import Example, UserError
from task_suites.sources import MIN_TEST, MIN_TRAIN, SuiteConfig
from task_suites.task import Task, TaskSuite

SIZES = st.tuples(*(st.integers(1, most) for most in (60, 60, 12, 12)))  # short and long train, short and long test


def task(name: str, short_train: int, long_train: int, short_test: int, long_test: int) -> Task:
    """A task with inputs of 2 words and of 10."""
    sizes = {"train": (short_train, long_train), "test": (short_test, long_test)}

    def load(part: str) -> list[Example]:
        short, long = sizes[part]
        texts = [f"{part} {i}" for i in range(short)] + [f"{part} {i}" + " word" * 8 for i in range(long)]
        return [Example(f"{name}-{text}", "yes", ("yes", "no")) for text in texts]

    return Task(name, "classification", load, labels=("yes", "no"))


def suite(*tasks: Task) -> TaskSuite:
    return TaskSuite("made", {t.name: t for t in tasks}, {"meta_test": tuple(t.name for t in tasks)})


@given(st.integers(1, 30), st.integers(1, 10))
def test_a_task_without_long_examples_stays_however_small(train, test):
    tickets = suite(task("tickets", train, 0, test, 0))
    assert SuiteConfig(max_words=5).shorten(tickets) == (tickets, None)


@given(st.integers(1, 30), SIZES)
def test_in_a_mixture_only_tasks_that_lost_examples_must_have_the_default_minimum(train, sizes):
    kept, note = SuiteConfig(max_words=5).shorten(suite(task("small", train, 0, 1, 0), task("longer", *sizes)))
    enough = sizes[0] >= MIN_TRAIN and sizes[2] >= MIN_TEST
    assert list(kept.tasks) == (["small", "longer"] if enough else ["small"])
    assert note is not None and ("longer" in note) == (not enough)


@given(SIZES, st.integers(1, 60), st.integers(1, 12))
def test_minima_that_are_given_hold_for_all_tasks(sizes, train, test):
    tasks = suite(task("whole", sizes[0], 0, sizes[2], 0), task("longer", *sizes))
    config = SuiteConfig(max_words=5, min_train=train, min_test=test)
    if sizes[0] >= train and sizes[2] >= test:
        assert list(config.shorten(tasks)[0].tasks) == ["whole", "longer"]
    else:
        with pytest.raises(UserError, match=f"expected {train} for train and {test} for test"):
            config.shorten(tasks)


@given(SIZES, st.none() | st.integers(1, 130), st.none() | st.integers(1, 30))
def test_raising_max_words_is_advised_exactly_where_it_helps(sizes, train, test):
    longer = suite(task("longer", *sizes))
    refused = ""
    try:
        SuiteConfig(max_words=5, min_train=train, min_test=test).shorten(longer)
    except UserError as error:
        refused = str(error)
    assume(refused)
    raised = SuiteConfig(max_words=100, min_train=train, min_test=test)
    if "Raise max_words" in refused:
        assert raised.shorten(longer) == (longer, None)
    else:
        with pytest.raises(UserError, match="Lower min_train and min_test"):
            raised.shorten(longer)
