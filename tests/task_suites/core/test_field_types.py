"""The fields of a dataclass are read from JSON with their types checked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_suites.core.errors import UserError
from task_suites.core.field_types import read_object


@dataclass(frozen=True)
class Part:
    """An object within."""

    a: int = 0


@dataclass(frozen=True)
class Whole:
    """One field of each kind."""

    text: str
    number: float
    count: int
    switch: bool
    choice: Literal["a", "b"]
    names: Sequence[str]
    shares: Mapping[str, float]
    maybe: int | None = None
    said: str | Sequence[str] = ""
    parts: tuple[Part, ...] = ()
    part: Part = Part()
    any: Any = None


WRONG: dict[str, list[Any]] = {
    "text": [None, 3, ["a"], True],
    "number": ["3", None, True, [1.0]],
    "count": ["3", 2.5, True, None],
    "switch": [0, "no", None],
    "choice": ["c", None, 0],
    "names": ["a", [1], {"a": 1}, None],
    "shares": [[0.5], {"a": "b"}, {"a": True}, None],
    "maybe": ["3", 2.5],
    "said": [3, [3], {}],
    "parts": ["x", {}, None],
    "part": ["x", [], None],
}
wholes = st.builds(
    Whole,
    text=st.text(),
    number=st.floats(allow_nan=False) | st.integers(),
    count=st.integers(),
    switch=st.booleans(),
    choice=st.sampled_from(["a", "b"]),
    names=st.lists(st.text()),
    shares=st.dictionaries(st.text(), st.floats(allow_nan=False) | st.none()),
    maybe=st.none() | st.integers(),
    said=st.text() | st.lists(st.text()),
    any=st.none() | st.text() | st.lists(st.integers()),
)


@given(wholes, st.sampled_from([(name, value) for name, values in WRONG.items() for value in values]))
def test_what_was_written_is_read_and_a_value_of_another_type_is_named(whole, wrong):
    written = json.loads(json.dumps(asdict(whole)))
    assert read_object(Whole, {**written, "more": 1}, "f", "it") == written
    name, value = wrong
    with pytest.raises(UserError, match=f"^f: {name} in it has a wrong type; found .*; expected "):
        read_object(Whole, {**written, name: value}, "f", "it")


@given(wholes, st.sampled_from([field.name for field in fields(Whole)][:7]))
def test_a_field_that_is_missing_is_named(whole, name):
    written = {key: value for key, value in asdict(whole).items() if key != name}
    with pytest.raises(UserError, match=f"^f: it lacks {name}; found only any, "):
        read_object(Whole, written, "f", "it")
