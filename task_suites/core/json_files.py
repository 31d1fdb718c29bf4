"""Reading JSON, and the one reader of JSON lines: suites, inputs of `predict`, logs and finished cells all come by it.

Refused, with file and line: a key twice in one object, NaN and infinities, half of a surrogate pair, and of course what
is not JSON.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from task_suites.core.errors import UserError
from task_suites.core.files import MAX_BYTES, at_line, read_lines, read_text

LOCATED = 1 << 23  # characters of JSON up to which the line of a mistake is looked for (2 s)
_LONE = re.compile(r"\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]")


def read_json(path: Path) -> Any:
    """Return the value in a JSON file.

    Raises:
        UserError: see `read_text` and `parse_json`.
    """
    return parse_json(read_text(path), path)


def read_json_lines(path: Path, limit: int | None = MAX_BYTES) -> Iterator[tuple[str, Any]]:
    """Yield ("file:line", value) of a file with one JSON value a line, read as they are requested.

    Lines end at LF or CRLF. Blank lines at the end are not values.

    Args:
        limit: the longest file that is read, in bytes; None reads any.

    Raises:
        UserError: see `read_text` and `parse_json`; or a blank line that others follow.
    """
    blank: int | None = None
    for number, line in read_lines(path, limit):
        if not line.strip(" \t\r"):
            blank = blank or number
            continue
        if blank:
            fix = "Delete the line."
            raise UserError("empty line", where=at_line(path, blank), expected="one JSON object a line", fix=fix)
        where = at_line(path, number)
        yield where, parse_json(line, where, lines=False)


def parse_json(text: str, where: object, lines: bool = True) -> Any:
    """Return the value of a JSON text.

    Args:
        where: heads the errors; with `lines`, followed by the line within the text.

    Raises:
        UserError: not JSON, nested too deeply, a key twice in one object, NaN or Infinity, half of a surrogate pair.
    """
    try:
        value = _DECODER.decode(text)
        if "\\u" in text and _LONE.search(text):  # perhaps: the backslash may be escaped itself
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except Twice as error:
        line = _line_of(text, error.key) if lines else None
        raise UserError(f"key {error.key!r} occurs twice in one object", where=at_line(where, line)) from None
    except UnicodeEncodeError as error:
        found = f"half of a surrogate pair in {error.object[max(0, error.start - 30) : error.start + 30]!r}"
        match = _LONE.search(text) if lines else None
        line = text.count("\n", 0, match.start()) + 1 if match else None
        raise UserError(
            "not Unicode text", where=at_line(where, line), found=found, expected="whole characters"
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:
        line = text.count("\n", 0, error.pos) + 1 if lines and isinstance(error, json.JSONDecodeError) else None
        start = text.rfind("\n", 0, error.pos) + 1 if line and isinstance(error, json.JSONDecodeError) else 0
        reason = error if line is None else getattr(error, "msg", error)
        reason = "nested too deeply" if isinstance(error, RecursionError) else reason
        found = repr(text[start : start + 60])
        raise UserError(
            f"not JSON ({reason or type(error).__name__})", where=at_line(where, line), found=found
        ) from None


class Place:
    """Where a part of a JSON file stands, for errors: `str` gives "file:line", looked for when an error asks.

    Args:
        path: the file.
        text: its text.
        keys: the keys and indices that lead from the file's value to the part, an object.
    """

    def __init__(self, path: Path, text: str, keys: Sequence[str | int]):
        self.path, self.text, self.keys = path, text, keys

    def __str__(self) -> str:
        line = _line_of(self.text, None, self.keys)
        name = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in self.keys).removeprefix(".")
        return at_line(self.path, line) + (f" ({name})" if name else "")


class Twice(ValueError):
    """A key occurs twice in one object."""

    def __init__(self, key: str):
        self.key = key


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object from its members (`object_pairs_hook`); a key that occurs twice is a ValueError."""
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise Twice(key)
            seen.add(key)
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _finite(digits: str) -> float:
    if math.isinf(value := float(digits)):
        raise ValueError(f"{digits[:20]} is too large a number")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=unique, parse_constant=_no_constant, parse_float=_finite)


def _line_of(text: str, twice: str | None, keys: Sequence[str | int] = ()) -> int | None:
    """Return the line on which an object begins: the first with the key `twice` in it twice, or the one that `keys`
    lead to.

    The decoder in C does not say where it is; this runs the one in Python again, for the error's sake.
    """
    if len(text) > LOCATED:
        return None
    starts: dict[int, int] = {}
    decoder: Any = json.JSONDecoder(object_pairs_hook=unique)
    parse = decoder.parse_object

    def parse_object(at: tuple[str, int], *rest: Any) -> Any:
        try:
            value, end = parse(at, *rest)
        except Twice as error:
            error.args = error.args if isinstance(error.args[0], int) else (at[1],)
            raise
        starts[id(value)] = at[1]
        return value, end

    decoder.parse_object = parse_object
    decoder.scan_once = json.scanner.py_make_scanner(decoder)  # type: ignore[attr-defined]
    try:
        value = decoder.decode(text)
        for key in keys:
            value = value[key]
        start = starts.get(id(value))
    except Twice as error:
        start = error.args[0]
    except (ValueError, LookupError, TypeError, RecursionError):
        start = None
    return None if start is None else text.count("\n", 0, start) + 1
