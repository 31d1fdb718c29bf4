"""One item of a task: what makes two the same, and what makes one unsound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_suites.example import Example, labels_problem

YES_NO = ("yes", "no")


@given(st.text(max_size=12), st.text(" \t\n", max_size=3))
def test_case_and_white_space_make_no_other_item(text, blanks):
    plain = Example(text, "yes", YES_NO)
    assert plain.content == Example(f"{blanks}{text.casefold()}{blanks}", "no").content
    assert plain.content == " ".join(text.casefold().split())


def test_a_hidden_example_keeps_what_a_method_may_see():
    assert Example("q", "yes", YES_NO, accepted=("no",)).hidden() == Example("q", None, YES_NO)
    hidden = Example(tokens=("a", "b"), tags=("O", "B-X")).hidden()
    assert hidden == Example(tokens=("a", "b")) and hidden.form == "tags" and hidden.text == "a b"


def test_where_an_example_was_read_takes_no_part_in_comparisons():
    first, second = Example("q", "a", where="f:1"), Example("q", "a", where="f:2")
    assert (first.place, second.place) == ("f:1", "f:2")
    assert first == second and hash(first) == hash(second)


@pytest.mark.parametrize(
    ("example", "said"),
    [
        (Example(" ", "yes", YES_NO), "the input is empty"),
        (Example("q", "", YES_NO), "the output is empty"),
        (Example("q", "maybe", YES_NO), "the options lack the answer"),
        (Example("q", "yes", YES_NO, accepted=("maybe",)), "the options lack an accepted answer"),
        (Example("q", "yes", ("yes",)), "there must be at least two options, all different"),
        (Example("q", "yes", ("yes", "yes ")), "two options differ only by blanks"),
        (Example("q", "a\nb"), "the output has several lines"),
        (Example("q", "a", accepted=("",)), "an accepted answer is empty or has several lines"),
        (Example("q", tags=("O",)), "tags without tokens"),
        (Example(tokens=("a",), tags=("O",), output="x"), "tokens beside input, output or options"),
        (Example(tokens=("a b",), tags=("O",)), "a token is empty or holds white space"),
        (Example(tokens=("a", "b"), tags=("O",)), "tokens and tags differ in number"),
        (Example(tokens=("a",), tags=("B-X;Y",)), "not a BIO tag"),
        (Example("\ud800", "yes", YES_NO), "not Unicode text"),
    ],
)
def test_an_unsound_example_says_what_is_wrong(example, said):
    assert example.problem()[0] == said


def test_a_query_needs_no_answer_and_options_must_be_labels():
    assert Example("q", None, YES_NO).problem(answered=False) is None
    assert Example("q", None, YES_NO).problem()[0] == "the output is empty"
    assert Example("q", "yes", YES_NO).problem(("yes", "perhaps"))[:2] == ("unknown label", "'no'")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (("a", ""), "a label is empty"),
        (("a", "b\u2028c"), "a label has several lines"),
        (("a", "a"), "labels occur twice"),
        (("a b", "A  B"), "two labels differ only by blanks or case"),
        (("é", "e\u0301"), "two labels look the same"),
        (("ab", "a\u200bb"), "two labels look the same"),
        (("ab", "ab\0"), "two labels look the same"),
        (("ab", "a\x1bb"), "two labels look the same"),
        (("\u2764", "\u2764\ufe0f"), "two labels look the same"),
        (("a", "\u200b"), "a label is empty"),
        (("a", "\x07"), "a label is empty"),
    ],
)
def test_labels_that_a_reader_would_confuse_are_refused(labels, said):
    assert labels_problem(labels)[0] == said
    assert labels_problem(("a", "b")) is None
