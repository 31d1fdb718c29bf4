"""YAML as entries that know their line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_suites.core.errors import UserError
from task_suites.core.yaml_entries import read_entries


def entries(folder: Path, text: str):
    path = folder / "file.yaml"
    path.write_text(text, encoding="utf-8")
    return read_entries(path)


def test_every_scalar_is_text_whatever_yaml_would_make_of_it(tmp_path):
    found = entries(tmp_path, "a: off\nb: 1e3\nc: 2024-01-01\nd: [no, 'x']\n").items()
    assert [found[key].text() for key in "abc"] == ["off", "1e3", "2024-01-01"]
    assert [item.text() for item in found["d"].list()] == ["no", "x"]
    assert [item.text() for item in found["a"].list()] == ["off"]


@given(st.lists(st.text("ab {}", max_size=4), min_size=1, max_size=6))
def test_the_lines_of_a_block_are_the_lines_of_the_file(tmp_path_factory, lines):
    if not "".join(lines).strip():
        return
    text = "head: x\nblock: |2\n" + "".join(f"  {line}\n" for line in lines)
    entry = entries(tmp_path_factory.mktemp("block"), text).items()["block"]
    for number, line in entry.lines():
        assert text.splitlines()[number - 1] == f"  {line}"


def test_an_entry_knows_its_name_and_line(tmp_path):
    inner = entries(tmp_path, "a:\n  b:\n\n    c: x\n    d: [y,\n      z]\n").items()["a"].items()["b"].items()
    assert (inner["c"].name, inner["c"].line) == ("a.b.c", 4)
    assert [(item.name, item.line) for item in inner["d"].list()] == [("a.b.d[0]", 5), ("a.b.d[1]", 6)]


@pytest.mark.parametrize(
    ("text", "read", "said"),
    [
        ("a: [1]", lambda e: e.items()["a"].text(), ":1: a must be text; found a list of 1"),
        ("a:", lambda e: e.items()["a"].text(), ":1: a must be text; found nothing"),
        ("a: {}", lambda e: e.items()["a"].items(), ":1: a must be a mapping, lines of `key: value`; found an empty"),
        ("- a", lambda e: e.items(), ":1: the file must be a mapping"),
        ("a: {b: 1}", lambda e: e.items()["a"].list(), ":1: a must be a list; found a mapping of 1"),
        ("\na: x1", lambda e: e.items()["a"].number(0, 9), ":2: a must be a whole number from 0 to 9, but is 'x1'"),
        ("a: 10", lambda e: e.items()["a"].number(0, 9), "but is '10'"),
        (
            "a: sauce",
            lambda e: e.items()["a"].one_of(("source", "task")),
            "but is 'sauce'. Did you mean source?",
        ),
        ("b: 1", lambda e: e.fields(("a", "c"), ("b",)), ":1: the file lacks a and c"),
        ("a: 1\nbb: 1", lambda e: e.fields(("a",), ("b",)), ":2: unknown key 'bb'. "),
        ("? [a]\n: 1", lambda e: e.items(), "a key must be text"),
        ("", lambda e: e, "the file is empty"),
    ],
)
def test_what_is_read_as_something_else_is_one_error_with_the_line(tmp_path, text, read, said):
    with pytest.raises(UserError) as error:
        read(entries(tmp_path, text))
    assert said in str(error.value) and "file.yaml" in str(error.value)


def test_a_number_in_its_range_is_read(tmp_path):
    assert entries(tmp_path, "a: 7").items()["a"].number(2, 7) == 7
