"""What a cell says, whatever kind of file it is from."""

from __future__ import annotations

import csv
import io
import json
import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_suites.core.errors import UserError
from task_suites.sources.cells import (
    as_text,
    as_typed,
    cell,
    keys_as_text,
    mapped,
    parts_of,
    refuse_number,
    refuse_option_number,
)

PLAIN = st.text("abc01. ", max_size=4) | st.integers(-99, 99) | st.booleans() | st.integers(-9, 9).map(float)


@given(PLAIN)
def test_a_csv_file_means_the_same_as_a_file_with_types(value):
    text = as_text(value, "x")
    out = io.StringIO()
    csv.writer(out).writerow([text])
    [[read]] = csv.reader(io.StringIO(out.getvalue()))
    assert as_text(read, "x") == text
    if isinstance(value, (bool, int)):
        assert text == json.dumps(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *[(None, ""), (math.nan, ""), (1.0, "1"), (1.5, "1.5"), (True, "true"), ("NA", "NA"), (1e300, "1e+300")],
        *[(Decimal("2.00"), "2"), (Decimal("1.50"), "1.50"), (Decimal("1E+2"), "100")],
    ],
)
def test_absent_cells_are_empty_and_whole_numbers_have_no_fraction(value, text):
    assert as_text(value, "x") == text


@given(st.lists(st.text(max_size=5), min_size=1))
def test_a_list_survives_a_file_of_text_as_json(items):
    assert parts_of(json.dumps(items)) == items == parts_of(items)


@pytest.mark.parametrize(
    ("text", "separator", "parts"),
    [
        ("Fly to Oslo", None, ["Fly", "to", "Oslo"]),
        ("a mop | a rake", "|", ["a mop", "a rake"]),
        ("[1] see page 3", None, ["[1]", "see", "page", "3"]),
        ("[ E1 ]", None, ["[", "E1", "]"]),
        ("[1, 2]", "|", ["[1, 2]"]),
        ("a mop", "", "a mop"),
    ],
)
def test_text_that_is_no_json_list_is_divided(text, separator, parts):
    assert parts_of(text, separator) == parts


@pytest.mark.parametrize("value", [[1], {"a": 1}, b"x", math.inf])
def test_a_cell_that_is_not_text_is_refused_with_its_place(value):
    with pytest.raises(UserError, match=r"rows\.csv:3: a cell is"):
        as_text(value, "rows.csv:3")


@pytest.mark.parametrize(
    ("text", "typed"), [("1.0", "1"), ("-2.00", "-2"), ("01.0", "01.0"), ("True", "true"), ("1.5", "1.5")]
)
def test_a_label_in_words_is_what_a_file_with_types_would_give(text, typed):
    assert as_typed(text) == typed


def test_a_map_is_read_by_the_text_of_its_keys():
    words = keys_as_text({0: "low", "1.0": "high", True: "yes"}, "x")
    assert [mapped(text, words, "x") for text in ("0", "0.0", "1", "True")] == ["low", "low", "high", "yes"]
    with pytest.raises(UserError, match=r"labels has no word for a value; found '2'.*Add \"2\" to labels"):
        mapped("2", words, "x")
    with pytest.raises(UserError, match="occurs twice"):
        keys_as_text({1: "a", "1": "b"}, "x")


def test_a_number_is_a_word_or_its_meaning_must_be_said():
    refuse_number("1", ("0", "1"), "x")
    refuse_number("mood", ("low", "high"), "x")
    with pytest.raises(UserError, match='0: "low", 1: "high"'):
        refuse_number("1", ("low", "high"), "x")
    with pytest.raises(UserError, match='True: "high", False: "low"'):
        refuse_number("true", ("low", "high"), "x")
    with pytest.raises(UserError, match="where they count from 0"):
        refuse_option_number("1", ("low", "high"), "x")


def test_a_name_may_lead_into_an_object_unless_a_column_has_it():
    row = {"a": {"b": 1}, "a.c": 2}
    assert cell(row, "a.b", "x") == 1 and cell(row, "a.c", "x") == 2
    assert cell(row, "{{ a.b }} of {{ a.b }}", "x") == "1 of 1"
    with pytest.raises(UserError, match=r"no column 'a\.d'"):
        cell(row, "a.d", "x")
