"""Suites too large for memory: a folder with `suite.json` and one memory-mapped Arrow file, opened without reading it.

    write_store(suite, Path("stored"))        # once; the examples are checked here
    open_suite("arrow:stored")                # later; tasks read the examples that a draw needs

`examples.arrow` (Arrow's IPC file format, which every Arrow library reads) has one record batch for each part of each
task, in the order of `suite.json`: train and test of the first task, train and test of the second, and so on. Columns
are those of `Example`, and `key`, 64 bits of a hash of its content. Options that are the task's labels are not stored.
Draws from a stored suite are those from the same suite in memory (task_suites/episodes.py).
"""

from __future__ import annotations

import ctypes
import json
import mmap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypedDict, overload

from task_suites.core.atomic import new_folder
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.parts import StoredExamples, content_key
from task_suites.task import Illustration, Task, TaskSuite

HEADER, EXAMPLES = "suite.json", "examples.arrow"
VERSION = 1
AGAIN = "Write the store again."
LATER_KEYS = ("evaluation_only",)  # which stores of earlier versions lack
PARTS = ("train", "test")
COLUMNS = tuple(field.name for field in fields(Example))
LISTS = frozenset(field.name for field in fields(Example) if "tuple" in str(field.type))
TASK_KEYS = tuple(f.name for f in fields(Task) if f.init and f.name not in ("load", "suite", "whole"))
BLOCK = 4096  # examples that are made at once when all are gone through


def write_store(suite: TaskSuite, folder: Path) -> None:
    """Write a suite to a new folder, whole or not at all. One part of one task at a time is in memory.

    Raises:
        UserError: the folder already exists, or an example is unsound.
    """
    if folder.exists():
        raise UserError(f"{folder} already exists", expected="a new folder", fix="Remove it or name another.")
    with new_folder(folder) as scratch:
        fill_store(suite, scratch)


def fill_store(suite: TaskSuite, folder: Path) -> None:
    """Write the two files of a stored suite, into an existing folder.

    Raises:
        UserError: an example is unsound.
    """
    import pyarrow as pa

    heads: list[Mapping[str, Any]] = []
    with pa.ipc.new_file(str(folder / EXAMPLES), _schema()) as out:
        for task in suite.tasks.values():
            fresh = task.replace()  # what it loads is dropped with it
            sizes = {part: _write_part(out, fresh, part) for part in PARTS}
            heads.append({key: getattr(task, key) for key in TASK_KEYS} | sizes)
    header: _Header = {
        "store": VERSION,
        "name": suite.name,
        "description": suite.description,
        "splits": suite.splits,
        "bytes": (folder / EXAMPLES).stat().st_size,
        "tasks": heads,
    }
    text = json.dumps(header, ensure_ascii=False, indent=1, default=asdict)
    (folder / HEADER).write_text(text + "\n", encoding="utf-8")


def _schema() -> Any:
    import pyarrow as pa

    text, texts = pa.large_string(), pa.list_(pa.large_string())  # large: a part may have more than 2 GiB of text
    columns = [(name, texts if name in LISTS else text) for name in COLUMNS]
    return pa.schema([*columns, ("key", pa.uint64())])


def _write_part(out: Any, task: Task, part: str) -> int:
    import pyarrow as pa

    examples = task.examples(part)
    columns: dict[str, list[Any]] = {name: [getattr(e, name) or None for e in examples] for name in COLUMNS}
    columns["input"] = [e.input for e in examples]
    if task.labels:
        columns["options"] = [None if options == task.labels else options for options in columns["options"]]
    columns["key"] = [content_key(e.content) for e in examples]
    out.write_batch(pa.RecordBatch.from_pydict(columns, schema=_schema()))
    return len(examples)


def open_store(folder: str | Path) -> TaskSuite:
    """Open the suite that `write_store` wrote to a folder. No example is read; a part's bytes are checked when it is
    first requested.

    Raises:
        UserError: the folder or a file is missing, or they are not what `write_store` writes.
    """
    path = Path(folder) / HEADER
    if not path.is_file():
        fix = "`metaicl suites export --suite SUITE --to arrow --output FOLDER` writes one (docs/thousand_tasks.md)."
        raise UserError(f"no stored suite at {folder}", expected=f"a folder with {HEADER} and {EXAMPLES}", fix=fix)
    header = _read_header(path)
    store = _Store(path.with_name(EXAMPLES), header["bytes"], len(PARTS) * len(header["tasks"]))
    try:
        tasks = {head["name"]: _task(store, number, head) for number, head in enumerate(header["tasks"])}
        splits = {side: tuple(names) for side, names in header["splits"].items()}
        return TaskSuite(header["name"], tasks, splits, header["description"])
    except UserError as error:
        raise UserError(str(error), where=path) from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _no_header(path, error) from None


class _Header(TypedDict):
    """What the header's file holds, as JSON.

    Attributes:
        store: the version of the layout.
        bytes: the size of the file of examples.
        tasks: for each task its `TASK_KEYS`, and the number of examples of each part.
    """

    store: int
    name: str
    description: str
    splits: Mapping[str, Sequence[str]]
    bytes: int
    tasks: list[Mapping[str, Any]]


def _read_header(path: Path) -> _Header:
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
        version, _, _ = header["store"], header["bytes"], len(header["tasks"])
    except (ValueError, RecursionError, KeyError, TypeError, OSError) as error:
        raise _no_header(path, error) from None
    if version != VERSION:
        raise UserError(
            "the store was written by another version of metaicl",
            where=path,
            found=repr(version),
            expected=str(VERSION),
            fix=AGAIN,
        )
    return header  # type: ignore[no-any-return]


def _no_header(path: Path, error: Exception) -> UserError:
    found = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return UserError("not the header of a stored suite", where=path, found=found, fix=AGAIN)


def _task(store: _Store, number: int, head: Mapping[str, Any]) -> Task:
    values = {key: head[key] for key in TASK_KEYS if key in head or key not in LATER_KEYS}
    values["labels"] = tuple(values["labels"])
    for name in ("positive", "negative"):
        values[name] = tuple(Illustration(**item) for item in values[name])
    sizes = {part: int(head[part]) for part in PARTS}
    return Task(load=partial(_load, store, number, values["labels"], sizes), **values)


def _load(store: _Store, number: int, labels: tuple[str, ...], sizes: dict[str, int], part: str) -> StoredPart:
    batch = store.batch(len(PARTS) * number + PARTS.index(part), sizes[part])
    return StoredPart(batch, labels, (store, number, labels, sizes, part))


class _Store:
    """The Arrow file, mapped into memory when it is first requested; travels to other processes as its name."""

    def __init__(self, path: Path, size: int, batches: int):
        self.path, self.size, self.batches = path, size, batches
        found = path.stat().st_size if path.is_file() else None
        if found != size:
            kept = "no file" if found is None else f"{found} bytes"
            raise UserError(
                "the file of examples is incomplete", where=path, found=kept, expected=f"{size} bytes", fix=AGAIN
            )

    def __reduce__(self) -> tuple[Any, ...]:
        return _Store, (self.path, self.size, self.batches)

    @cached_property
    def _map(self) -> Any:
        """The bytes of the file. The file itself is closed, so that a thousand stores may be open at once."""
        import pyarrow as pa

        with pa.memory_map(str(self.path)) as file:
            return file.read_buffer()

    def _give_back(self) -> None:
        """Give back the memory of what was read; what a draw needs comes again by itself."""
        if hasattr(mmap, "MADV_DONTNEED"):
            size, start = ctypes.c_size_t(self._map.size), ctypes.c_void_p(self._map.address)
            ctypes.CDLL(None).madvise(start, size, mmap.MADV_DONTNEED)

    @cached_property
    def _reader(self) -> Any:
        import pyarrow as pa

        try:
            reader = pa.ipc.open_file(self._map)
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"not an Arrow file: {' '.join(str(error).split())}", where=self.path) from None
        if reader.schema != _schema() or reader.num_record_batches != self.batches:
            found = f"{reader.num_record_batches} parts"
            raise UserError(
                "the file does not hold the examples that suite.json describes",
                where=self.path,
                found=found,
                fix=AGAIN,
            )
        return reader

    def batch(self, number: int, size: int) -> Any:
        """Return the record batch of one part, its bytes checked, none copied."""
        import pyarrow as pa

        reader = self._reader
        try:
            batch = reader.get_batch(number)
            batch.validate(full=True)  # offsets and UTF-8: what is read later without a check
        except (pa.ArrowException, OSError) as error:
            what = f"part {number} is damaged: {' '.join(str(error).split())}"
            raise UserError(what, where=self.path, fix=AGAIN) from None
        if not 0 < len(batch) == size or any(batch.column(name).null_count for name in ("input", "key")):
            raise UserError(
                f"part {number} has another size than suite.json says",
                where=self.path,
                found=len(batch),
                expected=str(size),
                fix=AGAIN,
            )
        self._give_back()
        return batch


class StoredPart(StoredExamples):
    """The examples of one part: a sequence that makes an `Example` each time that one is requested.

    Values are put straight into the new example's `__dict__`, and fields that it lacks stay the class's: a fifth of
    what its own `__init__` costs.

    Args:
        batch: the record batch of the part.
        labels: the task's labels, which are the options where none are stored.
        origin: what `_load` takes to open the part in another process.
    """

    def __init__(self, batch: Any, labels: tuple[str, ...], origin: tuple[Any, ...]):
        self._batch, self._labels, self._size, self._origin = batch, labels, len(batch), origin
        # a column without any value is never looked at, so its pages are never read
        self._columns = {name: column for name in COLUMNS if (column := batch.column(name)).null_count < self._size}
        whole = [name for name, column in self._columns.items() if name not in LISTS and not column.null_count]
        # texts are decoded from a column's buffers: a draw does little else, and Arrow's scalars cost twice as much
        self._texts = [(name, *_buffers(self._columns[name])) for name in whole]
        self._others = [(name, column) for name, column in self._columns.items() if name not in whole]

    def __reduce__(self) -> tuple[Any, ...]:
        return _load, self._origin

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, at: int) -> Example: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Example]: ...
    def __getitem__(self, at: int | slice) -> Example | Sequence[Example]:
        if isinstance(at, slice):
            return tuple(self[i] for i in range(*at.indices(len(self))))
        if at < 0:
            at += self._size
        if not 0 <= at < self._size:
            raise IndexError("no such example")
        example = object.__new__(Example)
        values = example.__dict__
        for name, ends, data in self._texts:
            values[name] = str(data[ends[at] : ends[at + 1]], "utf-8")
        for name, column in self._others:
            if (value := column[at].as_py()) is not None:
                values[name] = tuple(value) if name in LISTS else value
        self._add_labels(values)
        return example

    def __iter__(self) -> Iterator[Example]:
        for start in range(0, len(self), BLOCK):
            block = {name: column.slice(start, BLOCK).to_pylist() for name, column in self._columns.items()}
            for row in zip(*block.values(), strict=True):
                example = object.__new__(Example)
                for name, value in zip(block, row, strict=True):
                    if value is not None:
                        example.__dict__[name] = tuple(value) if name in LISTS else value
                self._add_labels(example.__dict__)
                yield example

    def outputs(self) -> list[str | None]:
        return self._batch.column("output").to_pylist()  # type: ignore[no-any-return]

    def content_keys(self) -> Any:
        return self._batch.column("key").to_numpy()

    def _add_labels(self, values: dict[str, Any]) -> None:
        """The task's labels for options that are not stored."""
        if self._labels and "options" not in values and "tokens" not in values:
            values["options"] = self._labels


def _buffers(column: Any) -> tuple[memoryview, memoryview]:
    """Return (where each text begins and the last one ends, the bytes) of a column of large strings without nulls."""
    _, ends, data = column.buffers()
    first, after = column.offset, column.offset + len(column) + 1
    return memoryview(ends)[8 * first : 8 * after].cast("q"), memoryview(data if data is not None else b"")
