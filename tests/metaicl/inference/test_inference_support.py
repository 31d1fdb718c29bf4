"""What demonstrations are taken for, and queries of their kind."""

from __future__ import annotations

import pytest

from metaicl.inference.support import labels_of, query_of, support_of, with_labels
from task_suites.core.errors import UserError

CLASSES = [{"input": f"thing {i}", "output": ("up", "down")[i % 2]} for i in range(4)]
TAGGED = [{"tokens": ["in", "Rome"], "tags": ["O", "B-PLACE"]}]


def support(rows: list[dict]) -> list:
    return support_of(((f"row {i}", row) for i, row in enumerate(rows)), "the demonstrations")


def test_outputs_of_which_one_repeats_are_the_labels_of_a_classification():
    found = support(CLASSES)
    assert labels_of(found, "here") == (("down", "up"), "")
    assert {e.options for e in with_labels(found, ("down", "up"))} == {("down", "up")}


@pytest.mark.parametrize("rows", [CLASSES[:2], CLASSES[::2]])
def test_outputs_that_are_all_alike_or_all_different_are_free_text_and_this_is_said(rows):
    labels, note = labels_of(support(rows), "here")
    assert labels == () and note.startswith("here: the 2 demonstrations all have ")


def test_tagged_sentences_get_no_options():
    found = support(TAGGED)
    assert labels_of(found, "here") == ((), "") and with_labels(found, ("a", "b"))[0].options is None


def test_demonstrations_of_two_kinds_are_refused_with_the_row():
    with pytest.raises(UserError, match="row 4: the demonstrations are of two kinds; found tokens and tags"):
        support([*CLASSES, *TAGGED])
    with pytest.raises(UserError, match="the demonstrations: no demonstrations are given"):
        support([])


def test_a_query_has_the_labels_in_the_order_in_which_it_names_them():
    (first, *_), labels = support(CLASSES), ("down", "up")
    assert query_of({"input": "x"}, first, labels, "row").options == labels
    assert query_of({"input": "x", "options": ["up", "down"]}, first, labels, "row").options == ("up", "down")
    with pytest.raises(
        UserError, match="row: the input is of another kind than the demonstrations; found tokens; expected input"
    ):
        query_of({"tokens": ["x"]}, first, labels, "row")
