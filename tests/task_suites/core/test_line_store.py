"""A file of JSON lines survives that its writer is killed at any byte."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_suites.core.errors import UserError
from task_suites.core.line_store import LineStore, json_line

ROWS = st.lists(
    st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=5), max_size=2), min_size=1, max_size=4
)


@given(ROWS, st.data())
def test_a_file_cut_at_any_byte_keeps_its_whole_lines_and_can_be_continued(tmp_path_factory, rows, data):
    path = tmp_path_factory.mktemp("store") / "cells.jsonl"
    LineStore(path).append(*rows)
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:at])
    ends = [whole[: i + 1].count(b"\n") for i in range(len(whole))]
    complete = rows[: ends[at - 1] if at else 0]
    if at < len(whole) and whole[at : at + 1] == b"\n":  # only the line's end is missing
        complete = rows[: len(complete) + 1]
    assert [row for _, row in LineStore(path).read()] == complete
    LineStore(path).append({"next": 1})
    assert [row for _, row in LineStore(path).read()] == [*complete, {"next": 1}]


def test_each_object_comes_with_its_line(tmp_path):
    store = LineStore(tmp_path / "new" / "log.jsonl")
    assert list(store.read()) == []
    store.append({"a": 1}, {"a": 2})
    assert [where for where, _ in store.read()] == [f"{store.path}:1", f"{store.path}:2"]


def test_a_damaged_line_in_the_middle_is_an_error_with_the_way_out(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"a": 1}\n{"a": \n{"a": 3}\n')
    with pytest.raises(UserError, match=r"log\.jsonl:2: not JSON.*Delete the line"):
        list(LineStore(path).read())
    path.write_text("[1]\n")
    with pytest.raises(UserError, match=r"log\.jsonl:1: not a JSON object; found list"):
        list(LineStore(path).read())


def test_numbers_that_json_lacks_become_null():
    line = json_line({"loss": math.nan, "rows": [1.5, math.inf], "text": "NaN"})
    assert json.loads(line) == {"loss": None, "rows": [1.5, None], "text": "NaN"}
