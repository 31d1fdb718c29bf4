"""Rows of plain files: CSV, TSV, JSON lines, JSON, Parquet and Arrow, one after the other, each with where it stands.

CSV is read as RFC 4180 has it, with quotes; TSV has none. Class names that `datasets` keeps in the schema of Parquet
and Arrow files are found (`class_names`).
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from task_suites.core.errors import UserError, nearest
from task_suites.core.files import open_file, read_lines
from task_suites.core.json_files import read_json, read_json_lines
from task_suites.sources.layouts import object_of
from task_suites.sources.narrow_numbers import restored, restorers

Row = Mapping[str, Any]
Placed = tuple[object, Row]  # where it stands, the row
BATCH = 1000  # rows of a columnar file that are made into Python objects at once
MAX_COLUMNAR = 1 << 40  # bytes: Parquet and Arrow are read piece by piece


class Rows(Protocol):
    """A table that can be read again and again."""

    def read(self, columns: Collection[str] | None = None) -> Iterator[Placed]:
        """Return the rows in order; of these columns where reading fewer is cheaper, else all."""

    def class_names(self, column: str) -> tuple[str, ...]:
        """Return the names of a column's classes, or of those of its lists' items; none where the table states none."""


@dataclass(frozen=True)
class FileRows:
    """The rows of files, one file after the other.

    Attributes:
        paths: files of one format.
        format: one of `FORMATS`; empty takes it from the files' endings.
        columns: names of the columns of CSV and TSV files without a header line.
        delimiter: between the cells of a CSV file.
        quotes: whether cells may stand in quotes; None is the format's custom.
    """

    paths: tuple[Path, ...]
    format: str = ""
    columns: tuple[str, ...] = ()
    delimiter: str = ","
    quotes: bool | None = None

    def read(self, columns: Collection[str] | None = None) -> Iterator[Placed]:
        for path in self.paths:
            yield from FORMATS[self.kind(path)](path, self, columns)

    def class_names(self, column: str) -> tuple[str, ...]:
        path = self.paths[0]
        if self.kind(path) not in COLUMNAR:
            return ()
        with _columnar(path) as (schema, _):
            return names_of(_features(schema).get(column))

    def kind(self, path: Path) -> str:
        """Return the format of a file.

        Raises:
            UserError: neither stated nor known by the file's ending.
        """
        kind = self.format or ENDINGS.get(path.suffix.lower(), "")
        if kind not in FORMATS:
            what = f"unknown format {kind!r}" if kind else f"no format is known for {path.suffix or 'no ending'!r}"
            raise UserError(what, where=path, fix=nearest(kind or path.suffix, FORMATS))
        return kind


def how_to_open(path: Path) -> str:
    """Return the ending of an error about a file of rows that was named as a suite: the names that work."""
    beside = path.with_suffix(".yaml")
    lines = (
        f"train: {json.dumps(path.name)}",
        "input: COLUMN",
        "output: COLUMN",
        'labels: "*"   # without it: free text',
    )
    return (
        "A file of rows needs a YAML file that says which column is what (docs/data.md). "
        + "\n  ".join((f"Write {beside} with the lines", *lines))
        + f"\nand name that: table:{beside}. Or say it in the name: "
        + f'"hf:{path}?input=COLUMN&output=COLUMN&labels=*" (labels may also be a list, as labels=a,b).'
    )


def fingerprint(paths: Iterable[Path]) -> str:
    """16 hexadecimal digits of a SHA-256 over the bytes of files."""
    digest = hashlib.sha256()
    for path in paths:
        with open_file(path, MAX_COLUMNAR) as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:16]


def names_of(feature: Any) -> tuple[str, ...]:
    """Return the class names in a feature as `datasets` writes it to JSON: of a ClassLabel, or of a list of them."""
    while isinstance(feature, (dict, list)) and feature:
        if isinstance(feature, list):
            feature = feature[0]
        elif feature.get("_type") == "ClassLabel":
            names = feature.get("names")
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                return ()
            return tuple(names) if len(set(names)) == len(names) else ()
        else:
            feature = feature.get("feature")
    return ()


# --- text -------------------------------------------------------------------------------------------------------------

OTHER_DELIMITERS = {  # -> what to do where it stands between the names of columns instead of the delimiter
    ";": 'Save the table with commas, or describe it in a YAML file with delimiter: ";" (docs/data.md).',
    "\t": "Give the file the ending .tsv.",
    ",": "Give the file the ending .csv.",
}


def _read_csv(path: Path, table: FileRows, columns: Collection[str] | None) -> Iterator[Placed]:
    return _delimited(path, table, table.delimiter, table.quotes is not False)


def _read_tsv(path: Path, table: FileRows, columns: Collection[str] | None) -> Iterator[Placed]:
    return _delimited(path, table, "\t", table.quotes is True)


def _delimited(path: Path, table: FileRows, delimiter: str, quotes: bool) -> Iterator[Placed]:
    """Yield the rows under a header line; a quoted cell may hold line breaks. Empty lines at the end are not rows."""
    lines = (line + "\n" for _, line in read_lines(path))
    quoting: Any = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True)
    header = list(table.columns)
    start, blank = 1, ""
    while True:
        where = f"{path}:{start}"
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise _no_table(error, path, max(1, reader.line_num)) from None
        if cells is None:
            return
        if blank and cells:
            raise UserError("empty line", where=blank, expected="a row, or the end of the file", fix="Delete the line.")
        if not header and cells:
            header = [cell.strip() for cell in cells]
            if len(set(header)) != len(header) or not all(header):
                fix = "Rename them, or name the columns with `columns` if the file has no header."
                raise UserError("column names repeat or are empty", where=where, found=repr(cells)[:80], fix=fix)
            _refuse_other_delimiter(header, delimiter, where)
        elif not cells:
            blank = blank or where
        elif len(cells) != len(header):
            expected = f"{len(header)}: {', '.join(header)[:80]}"
            raise UserError("wrong number of cells", where=where, found=len(cells), expected=expected)
        else:
            yield where, dict(zip(header, cells, strict=True))
        start = reader.line_num + 1


def _refuse_other_delimiter(header: list[str], delimiter: str, where: str) -> None:
    """Raise where the names of the columns are not divided, but another usual delimiter stands between them."""
    other = next((mark for mark in OTHER_DELIMITERS if mark in header[0] and mark != delimiter), None)
    if len(header) == 1 and other:
        fix = OTHER_DELIMITERS[other]
        raise UserError(f"the columns are separated by {other!r}, not by {delimiter!r}", where=where, fix=fix)


def _no_table(error: csv.Error, path: Path, line: int) -> UserError:
    if "new-line character" in str(error):
        fix = f"Outside of quotes a line ends at LF or CRLF. For a file of CR only: tr '\\r' '\\n' < {path} > NEW."
        return UserError("a CR without LF", where=f"{path}:{line}", fix=fix)
    longer = "Close the quotation mark of the cell; or, if the cell is that long, write the file as JSON lines."
    is_long = "field larger" in str(error)
    return UserError(f"not a table ({error})", where=f"{path}:{line}", fix=longer if is_long else None)


def _read_jsonl(path: Path, table: FileRows, columns: Collection[str] | None) -> Iterator[Placed]:
    for where, value in read_json_lines(path):
        yield where, object_of(value, where)


def _read_json(path: Path, table: FileRows, columns: Collection[str] | None) -> Iterator[Placed]:
    """Yield a list of objects; or, as `datasets` takes files of this ending, JSON lines."""
    with open_file(path) as file:
        start = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start.startswith(b"["):
        yield from _read_jsonl(path, table, columns)
        return
    for number, value in enumerate(read_json(path), 1):
        where = f"{path}: item {number}"
        yield where, object_of(value, where)


# --- columnar ---------------------------------------------------------------------------------------------------------


def _read_columnar(path: Path, table: FileRows, columns: Collection[str] | None) -> Iterator[Placed]:
    with _columnar(path) as (schema, batches):
        there = [c for c in schema.names if c in columns] if columns is not None else schema.names
        if len(set(schema.names)) != len(schema.names):
            raise UserError("column names repeat", where=path, found=schema.names[:20], fix="Rename them.")
        number, made = 0, restorers(schema)
        for batch in batches(there):
            batch.validate(full=True)
            for start in range(0, batch.num_rows, BATCH):
                for row in batch.slice(start, BATCH).to_pylist():
                    number += 1
                    yield f"{path}: row {number}", restored(row, made)


@contextmanager
def _columnar(path: Path) -> Iterator[tuple[Any, Callable[[Sequence[str]], Iterator[Any]]]]:
    """(the schema, a function of column names that gives the record batches) of a Parquet or Arrow file.

    Raises:
        UserError: not readable as what it is; also from within the block.
    """
    import pyarrow as pa
    from pyarrow import parquet

    mistakes = (pa.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError, NotImplementedError)
    try:
        with open_file(path, MAX_COLUMNAR) as file:
            start = file.read(6)
        if start.startswith(b"PAR1"):
            with parquet.ParquetFile(path, memory_map=True) as table:

                def batches(columns: Sequence[str]) -> Iterator[Any]:
                    return table.iter_batches(batch_size=BATCH, columns=list(columns))

                yield table.schema_arrow, batches
        else:
            with pa.memory_map(str(path)) as source:
                whole = start == b"ARROW1"  # the file format; `datasets` writes the stream format
                reader = pa.ipc.open_file(source) if whole else pa.ipc.open_stream(source)

                def batches(columns: Sequence[str]) -> Iterator[Any]:
                    stored = map(reader.get_batch, range(reader.num_record_batches)) if whole else iter(reader)
                    return (batch.select(list(columns)) for batch in stored)

                yield reader.schema, batches
    except UserError:
        raise
    except (*mistakes, MemoryError) as error:
        raise UserError(
            f"not readable as Parquet or Arrow ({' '.join(str(error).split())[:200]})", where=path
        ) from None


def _features(schema: Any) -> Mapping[str, Any]:
    """Column -> feature, from what `datasets` leaves in a schema."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return features if isinstance(features, dict) else {}


FORMATS: dict[str, Callable[[Path, FileRows, Collection[str] | None], Iterator[Placed]]] = {
    "csv": _read_csv,
    "tsv": _read_tsv,
    "jsonl": _read_jsonl,
    "json": _read_json,
    "parquet": _read_columnar,
    "arrow": _read_columnar,
}
COLUMNAR = ("parquet", "arrow")
ENDINGS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".json": "json", ".parquet": "parquet", ".arrow": "arrow"}


# --- folders of data files --------------------------------------------------------------------------------------------


def data_files(folder: Path, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Split -> its files, among the names in a folder: `train.csv`, or in pieces `train-00000-of-00002.parquet`.

    Raises:
        UserError: files of one split in several formats.
    """
    found: dict[str, list[str]] = {}
    for name in names:
        match = re.fullmatch(r"(\w+?)(-\d+-of-\d+)?(\.\w+)", name)
        if match and match[3].lower() in ENDINGS:
            found.setdefault(match[1], []).append(name)
    for split, files in found.items():
        if len({Path(name).suffix.lower() for name in files}) > 1:
            what = f"the split {split} has files of several formats"
            raise UserError(what, where=folder, found=sorted(files), expected="files with the same ending")
    return {split: tuple(sorted(files)) for split, files in found.items()}
