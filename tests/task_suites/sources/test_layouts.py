"""What the readers of other people's layouts share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.sources.layouts import answered, divided, make_suite, one_line, shared_options, sound, texts_field
from task_suites.task import Task

INPUTS = st.lists(st.text("abcdef", min_size=1, max_size=3), min_size=2, max_size=30)


@given(INPUTS, st.floats(0.05, 0.95), st.integers(0, 5), st.randoms())
def test_which_items_are_for_testing_depends_on_their_text_and_the_seed_not_on_their_order(inputs, share, seed, rng):
    if len(set(inputs)) < 2:
        return
    order = list(inputs)
    rng.shuffle(order)
    first, again = (divided([Example(text, "y") for text in texts], share, "x", seed) for texts in (inputs, order))
    for part in ("train", "test"):
        assert sorted(e.input for e in first[part]) == sorted(e.input for e in again[part]) != []
    assert not {e.content for e in first["train"]} & {e.content for e in first["test"]}
    assert [e.input for e in first["train"]] == [text for text in inputs if text in {e.input for e in first["train"]}]


def test_a_division_needs_two_different_items():
    with pytest.raises(UserError, match="too few items"):
        divided([Example("a"), Example("A ")], 0.5, "x")


def test_answers_are_in_one_line_distinct_and_not_empty():
    assert answered("q", ["a\n b", "a b", " ", "c  d"]) == Example("q", "a b", accepted=("c  d",))
    assert answered("q", []).output is None
    assert one_line("a  b") == "a  b" and one_line("a \r\n b") == "a b"


def test_options_that_all_examples_share_are_labels_unless_they_look_alike():
    def rows(*options):
        return [Example("q", o[0], tuple(o)) for o in options]

    assert shared_options(rows("ab", "ba")) == ("a", "b")
    assert shared_options(rows("ab", "ac")) == ()
    assert shared_options([Example("q", "a", ("a", "A"))]) == ()


def test_an_unsound_item_is_an_error_where_it_is_or_is_left_out():
    items = [
        ("f:1", Example("a", "x", ("x", "y"))),
        ("f:2", Example("b", "z", ("x", "y"))),
        ("f:3", Example("c", "free")),
    ]
    with pytest.raises(UserError, match=r"^f:2: .*unsound=skip"):
        sound(items, (), {"unsound": "refuse"}, "f")
    assert [e.input for e in sound(items, (), {"unsound": "skip"}, "f")] == ["a"]
    with pytest.raises(UserError, match="no example"):
        sound(items[1:2], (), {"unsound": "skip"}, "f")


def test_a_suite_without_splits_is_for_meta_testing_and_a_task_is_on_one_side():
    def task(name):
        return Task(name, "generation", lambda split: [Example("q", "a")])

    assert make_suite("s", [task("a")], None, "x").splits == {"meta_test": ("a",)}
    both = {"meta_test": ["a"], "meta_train": ["a"]}
    with pytest.raises(UserError, match="is named twice in the split; found meta_test and meta_train"):
        make_suite("s", [task("a")], both, "x")


def test_a_single_text_is_a_list_of_one_and_null_is_none():
    assert [texts_field({"a": value}, "a", "x") for value in ("t", ["t", "u"], None)] == [["t"], ["t", "u"], []]
    with pytest.raises(UserError, match="key 'a' is missing"):
        texts_field({}, "a", "x")
