"""What a cell of a table says, the same for every kind of file: as text, as a label, as one of a row's options.

Text, whole numbers and booleans are values like any other: `no`, `None`, `NA` and `0` stand for themselves. Numbers and
booleans are written as JSON writes them, so that a CSV file, which holds only text, means the same as one with types.
What a number means is never guessed: it is a label by itself, or a map says which word it stands for.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from decimal import Decimal
from typing import Any

from task_suites.core.errors import UserError, nearest
from task_suites.sources.row_template import is_template, render

QUOTES = "Put it in quotes: YAML reads yes, no, on and off as true and false, null and ~ as nothing, digits as numbers."
_NUMBER = re.compile(r"-?[0-9]+|true|false", re.IGNORECASE)
_WHOLE = re.compile(r"(0|-?[1-9][0-9]*)\.0+")
SEPARATOR = "|"  # between the options in a cell of text, unless a table names another
SHOWN = 8  # labels that a message writes out


def cell(row: Mapping[str, Any], name: str, where: object) -> Any:
    """Return what a row holds in a column, or what a template makes of the row.

    Raises:
        UserError: there is no such column.
    """
    if is_template(name):
        return render(name, row, where)
    if name in row:
        return row[name]
    value: Any = row
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise UserError(f"no column {name!r}", where=where, fix=nearest(name, map(str, row)))
        value = value[part]
    return value


def as_text(value: Any, where: object) -> str:
    """Return a cell as text: nothing for an absent one (None, NaN), true or false, numbers without a needless fraction.

    Raises:
        UserError: an object, a list or an infinite number.
    """
    if isinstance(value, (dict, list, bytes)):
        raise UserError("a cell is not text", where=where, found=repr(value)[:60], expected="text or a number")
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if math.isinf(value):
            raise UserError("a cell is an infinite number", where=where, found=value, expected="text or a number")
        if math.isnan(value):  # what pandas writes for an absent cell
            return ""
        if value.is_integer() and abs(value) < 2**53:
            return str(int(value))
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return str(int(value))
    return str(value)


def as_typed(text: str) -> str:
    """Return a label's text as a file with types gives it: `1.0` is the whole number 1, and `True` is the boolean
    true."""
    if text.casefold() in ("true", "false"):
        return text.casefold()
    return text.partition(".")[0] if _WHOLE.fullmatch(text) else text


def texts(values: Iterable[Any], where: object) -> list[str]:
    """Return cells as texts."""
    return [as_text(value, where) for value in values]


def list_of(value: Any, column: str, where: object) -> Collection[Any]:
    """Return the list that a cell holds.

    Raises:
        UserError: it is not a list.
    """
    if not isinstance(value, (list, tuple)):
        raise UserError(f"column {column} must hold a list", where=where, found=repr(value)[:60])
    return value


def parts_of(value: Any, separator: str | None = None) -> Any:
    """Return the list that a cell of text stands for: a JSON list of strings, as a file of text holds it, or the parts
    between separators (None: between blanks; empty: no text is divided). What is not text stays as it is."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        with suppress(ValueError, RecursionError):
            found = json.loads(value)
            if isinstance(found, list) and found and all(isinstance(item, str) for item in found):
                return found
    if separator is None:
        return value.split()
    return [part.strip() for part in value.split(separator)] if separator else value


def keys_as_text(words: Mapping[Any, str], where: object) -> dict[str, str]:
    """Return a map from cells to words, with its keys as text.

    Raises:
        UserError: a key is nothing, a date or the like, or two keys are the same text.
    """
    mapping: dict[str, str] = {}
    for key, word in words.items():
        if key is None or isinstance(key, date) or not isinstance(key, (str, int, float)):
            raise UserError("a key of labels is not text", where=where, found=repr(key)[:60], fix=QUOTES)
        text = as_text(key, where)
        if text in mapping:
            raise UserError("a value occurs twice in labels", where=where, found=repr(text), expected="each value once")
        mapping[text] = word
    return mapping


def mapped(text: str, mapping: Mapping[str, str], where: object) -> str:
    """Return the word that a map has for a cell's text; `True`, as pandas writes it, is true.

    Raises:
        UserError: the map lacks it.
    """
    for key in (text, as_typed(text)):
        if key in mapping:
            return mapping[key]
    for key, word in mapping.items():  # a key in quotes, such as "1.0"
        if as_typed(key) == as_typed(text):
            return word
    fix = f"Add {json.dumps(text[:60], ensure_ascii=False)} to labels, with its word."
    if text.casefold() in ("yes", "no", "on", "off") and mapping.keys() & {"true", "false"}:
        fix = "Put the keys of labels in quotes: YAML reads yes, no, on and off as true and false."
    expected = f"one of {list(mapping)[:20]}"
    raise UserError("labels has no word for a value", where=where, found=repr(text[:60]), expected=expected, fix=fix)


def refuse_number(
    text: str, words: Sequence[str], where: object, key: str = "labels", form: str = "{key}: {value}"
) -> None:
    """Raise where a cell is a number or a boolean and not one of the words: what it stands for must be said.

    Args:
        key: the name of the list of words, for the error.
        form: how it is given a value.

    Raises:
        UserError: shows how to say it.
    """
    if text in words or not _NUMBER.fullmatch(text):
        return
    if text.casefold() in ("true", "false"):
        said = [form.format(key=key, value=_flow({"True": words[-1], "False": words[0]}))]
        ways = f"Say what they mean, such as {said[0]}."
    else:
        said = [form.format(key=key, value=_flow(dict(enumerate(words[:SHOWN], start)))) for start in (1, 0)]
        ways = f"Say what the numbers mean: {said[0]} where they count from 1, {said[1]} where from 0."
    what = "a boolean stands for no label" if text.casefold() in ("true", "false") else "a number stands for no label"
    raise UserError(what, where=where, found=text, expected=f"one of {list(words)[:20]}", fix=ways)


def refuse_option_number(text: str, options: Sequence[str], where: object) -> None:
    """Raise where a cell is a number or a boolean and not the text of an option: which option it names must be said.

    Raises:
        UserError: shows how to say it.
    """
    if text in options or not _NUMBER.fullmatch(text):
        return
    if text.casefold() in ("true", "false"):
        written = next(w for w in (str.lower, str.upper, str.title) if text in (w("true"), w("false")))
        keys = json.dumps([written("false"), written("true")])
        fix = f"Say which option each names, such as option_keys: {keys}." if len(options) == 2 else None
        raise UserError(
            "a boolean is not the name of an option",
            where=where,
            found=text,
            expected=f"one of {list(options)}",
            fix=fix,
        )
    lists = ["option_keys: " + json.dumps([str(i) for i in range(start, start + len(options))]) for start in (0, 1)]
    fix = f"Say which option a number names: {lists[0]} where they count from 0, {lists[1]} where from 1."
    raise UserError(
        "a number is not the name of an option", where=where, found=text, expected=f"one of {list(options)}", fix=fix
    )


def _flow(mapping: Mapping[Any, str]) -> str:
    """Return a map as YAML and Python both read it."""
    return "{" + ", ".join(f"{key}: {json.dumps(word, ensure_ascii=False)}" for key, word in mapping.items()) + "}"
