"""Rows of the files that `predict` reads: which column or key holds the input, and which the answer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from task_suites.core.errors import UserError, nearest
from task_suites.core.json_files import read_json_lines
from task_suites.sources.cells import SEPARATOR, as_text, parts_of
from task_suites.sources.local import EXAMPLE_KEYS, LISTS
from task_suites.sources.table_columns import Columns

Row = dict[str, Any]  # a row of a file as a JSON object: what the user has in it, and the answer to it
UNTYPED = (".csv", ".tsv")  # tables whose cells are all text
TABLES = (*UNTYPED, ".parquet", ".arrow")
LIST = ".json"  # one list of objects; or JSON lines
USUAL = {"input": ("input", "text"), "output": ("output", "label", "answer")}  # names, where none is given


@dataclass(frozen=True)
class ColumnNames:
    """Which column of a table, or key of JSON lines, holds what.

    Attributes:
        input: the name of the input; None takes the first of `USUAL` that is there.
        output: the name of the answer.
    """

    input: str | None = None
    output: str | None = None

    def read(self, path: Path, answered: bool) -> Iterator[tuple[str, Any, Any]]:
        """Yield (where it stands, the row as it is, the same by the names of `Example`) of a file: CSV, TSV, Parquet,
        Arrow or a list in JSON by its ending, else JSON lines. Empty cells of a table are left out, and so are its
        other columns.

        Args:
            answered: whether the rows have answers.

        Raises:
            UserError: the file cannot be read, or has no such column.
        """
        roles = ("input", "output") if answered else ("input",)
        from task_suites.sources.rows import FileRows

        table = FileRows((path,))
        if path.suffix.lower() not in TABLES:
            rows: Iterable[tuple[object, Any]] = table.read() if path.suffix.lower() == LIST else read_json_lines(path)
            for place, row in rows:
                yield str(place), row, self._renamed(row, roles, place) if isinstance(row, dict) else row
            return
        classes: tuple[str, ...] | None = None
        for place, row in table.read():
            where = str(place)
            named = self._renamed(row, roles, where)
            if "tokens" not in named and (absent := [role for role in roles if role not in named]):
                raise _no_column(absent[0], row, where)
            if classes is None:
                classes = table.class_names(self._found("output", row, where) or "") if answered else ()
            given = {name: _as_json(value) for name, value in row.items() if value not in (None, "")}
            yield where, given, _as_texts(named, classes, where)

    def _renamed(self, row: Mapping[str, Any], roles: tuple[str, ...], where: object) -> Row:
        """Return a row whose input and answer have the names of `Example`.

        Raises:
            UserError: a name that was given is not there, or two columns may hold the answer.
        """
        found = {role: name for role in roles if (name := self._found(role, row, where))}
        for role in roles:
            if (given := getattr(self, role)) and given not in row:
                raise UserError(f"no column {given!r}", where=where, fix=nearest(given, map(str, row)))
        rest = {name: value for name, value in row.items() if name not in (*found, *found.values())}
        return {**rest, **{role: row[name] for role, name in found.items()}}

    def _found(self, role: str, row: Mapping[str, Any], where: object) -> str | None:
        """Return the name of the column that holds the input or the answer."""
        if given := getattr(self, role):
            return given if given in row else None
        usual = [name for name in USUAL[role] if name in row]
        if role == "output" and len(usual) > 1 and usual[0] != role:
            fix = f"Say which: --output_column {usual[0]}."
            raise UserError("two columns may hold the answer", where=where, found=usual, fix=fix)
        return usual[0] if usual else None


USUAL_NAMES = ColumnNames()


def _as_json(value: Any) -> Any:
    """Return a cell as JSON can write it: dates, bytes, infinite numbers and the like as text, NaN as null."""
    if isinstance(value, Mapping):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


def _no_column(role: str, row: Mapping[str, Any], where: str) -> UserError:
    what = "answer" if role == "output" else "input"
    return UserError(
        f"no column for the {what}",
        where=where,
        found=", ".join(map(str, row))[:200],
        expected=" or ".join(USUAL[role]),
        fix=f"Name it: --{role}_column NAME.",
    )


def _as_texts(row: Mapping[str, Any], classes: tuple[str, ...], where: str) -> Row:
    """Return the cells of an example: numbers as texts, a class by its name, tokens and tags as lists."""
    made: Row = {}
    for name, value in row.items():
        needed = name in USUAL and not row.get("tokens")  # an empty one is named as such
        if name not in EXAMPLE_KEYS or (value in (None, "") and not needed):
            continue
        if name in LISTS:
            made[name] = parts_of(value, None if name in ("tokens", "tags") else SEPARATOR)
        else:
            text = Columns().label(value, classes, where) if name == "output" and classes else as_text(value, where)
            made |= {name: text} if text or needed else {}
    return made
