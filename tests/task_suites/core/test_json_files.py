"""JSON lines: one reader for all files, and files that grow by whole lines and survive being cut off."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from task_suites.core.errors import UserError
from task_suites.core.json_files import read_json_lines
from task_suites.core.line_store import LineStore, json_line

CUTTERS = "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e"  # where str.splitlines cuts and a JSON line does not end
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0") | st.sampled_from(CUTTERS))
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda x: st.lists(x, max_size=3) | st.dictionaries(TEXT, x, max_size=3),
    max_leaves=6,
)
OBJECTS = st.lists(st.dictionaries(TEXT, VALUE, max_size=3), max_size=5)


@given(
    st.lists(VALUE, max_size=5), st.sampled_from(["\n", "\r\n"]), st.booleans(), st.sampled_from(["", "\n", "\r\n \n"])
)
def test_values_come_back_whatever_characters_they_hold(tmp_path_factory, values, end, mark, tail):
    path = tmp_path_factory.mktemp("lines") / "x.jsonl"
    text = end.join([*(json.dumps(v, ensure_ascii=False) for v in values), ""]) + tail
    path.write_bytes(b"\xef\xbb\xbf" * mark + text.encode())
    assert list(read_json_lines(path)) == [(f"{path}:{n}", v) for n, v in enumerate(values, 1)]


@pytest.mark.parametrize("text", ["", "\n", "\r\n", " \n\n", "\ufeff", "\ufeff\n"])
def test_a_file_of_blank_lines_holds_no_values(tmp_path, text):
    path = tmp_path / "x.jsonl"
    path.write_bytes(text.encode())
    assert list(read_json_lines(path)) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "empty line"),
        ('{"a": 1, "a": 2}', "key 'a' occurs twice"),
        ('{"a": {"b": 1, "b": 1}}', "key 'b' occurs twice"),
        ('{"a": NaN}', "not JSON (NaN is not a JSON number"),
        ('{"a": [-Infinity]}', "not JSON (-Infinity is not a JSON number"),
        ('{"a": 1e999}', "not JSON (1e999 is too large a number"),
        (r'{"a": "\ud83d"}', "not Unicode text; found half of a surrogate pair"),
        (r'{"\udc00": 1}', "not Unicode text; found half of a surrogate pair"),
        ('{"a": "cut', "not JSON (Unterminated string"),
        ('{"a": 1} {"a": 2}', "not JSON (Extra data"),
        ('{"a": 1}\u2028{"a": 2}', "not JSON (Extra data"),
        ("\u2028", "not JSON (Expecting value"),
        ('{"a": "\rb"}', "not JSON (Invalid control character"),
    ],
)
def test_a_bad_line_is_named_by_file_and_line(tmp_path, line, message):
    path = tmp_path / "x.jsonl"
    path.write_bytes(f'{{"a": "\u2028"}}\n{line}\n{{"a": 3}}\n'.encode())
    rows = read_json_lines(path)
    assert next(rows)[1] == {"a": "\u2028"}  # what stands before it is read
    with pytest.raises(UserError) as raised:
        list(rows)
    assert str(raised.value).startswith(f"{path}:2: {message}")


@examples(40)
@given(OBJECTS, OBJECTS, st.data())
def test_a_file_cut_off_anywhere_keeps_its_whole_lines_and_takes_more(tmp_path_factory, before, after, data):
    path = tmp_path_factory.mktemp("store") / "cells.jsonl"
    store = LineStore(path)
    store.append(*before)
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    kept = [value for _, value in store.read()]
    # a line that lacks nothing but its end is whole
    assert kept == before[: len(kept)] and whole[:cut].count(b"\n") <= len(kept) <= whole[:cut].count(b"\n") + 1
    for value in after:
        store.append(value)
    assert [value for _, value in store.read()] == kept + after


def test_a_damaged_line_before_the_last_is_an_error_and_deleting_it_helps(tmp_path):
    path = tmp_path / "cells.jsonl"
    for bad in ("{", "[1]", '{"a": NaN}'):
        path.write_text(f'{{"a": 1}}\n{bad}\n{{"a": 2}}\n')
        with pytest.raises(UserError, match=r"cells.jsonl:2: .*Delete the line"):
            list(LineStore(path).read())
    path.write_text("".join(line for line in path.read_text().splitlines(True) if "NaN" not in line))
    assert [value for _, value in LineStore(path).read()] == [{"a": 1}, {"a": 2}]


def test_what_json_has_no_number_for_is_written_as_null():
    line = json_line({"scores": [1.5, -math.inf, math.nan], "task": "x"})
    assert json.loads(line) == {"scores": [1.5, None, None], "task": "x"}


def test_a_store_that_is_not_there_yet_is_empty_and_reading_makes_no_file(tmp_path):
    store = LineStore(tmp_path / "new" / "cells.jsonl")
    assert list(store.read()) == [] and not (tmp_path / "new").exists()
