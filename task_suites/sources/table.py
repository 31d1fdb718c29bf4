"""Plain tables by a short YAML file that says which column is what: `table:FILE.yaml`, or a folder with tables.yaml.

docs/data.md, "Tables", has the keys. The same file may name a data set (`path`), which hub.py beside this file finds.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from task_suites.core.errors import UserError, nearest
from task_suites.core.files import inside
from task_suites.core.yaml_files import read_yaml
from task_suites.example import Example, Form, labels_problem
from task_suites.sources.cells import cell
from task_suites.sources.dataset_rows import find_dataset
from task_suites.sources.layouts import Item, divided, illustrations, make_suite, sound
from task_suites.sources.local import CHOSEN
from task_suites.sources.options import split_options
from task_suites.sources.rows import ENDINGS, FORMATS, FileRows, Row, Rows, how_to_open
from task_suites.sources.table_columns import COLUMN_KEYS, TEXT, TEXTS, Columns
from task_suites.task import DEFAULT_METRICS, META_SPLITS, METRICS, TASK_TYPES, Task, TaskSuite, default_type

SUITE_KEYS: dict[str, tuple[type, ...]] = {"name": TEXT, "description": TEXT, "tasks": (dict,), "splits": (dict,)}
HEAD_KEYS = ("instruction", "description", "domain", "family", "source", "licence")  # of `Task`, taken as they are
TASK_KEYS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("name", "type", "metric", *HEAD_KEYS), TEXT),
    **COLUMN_KEYS,
    **dict.fromkeys(("train", "test"), TEXTS),
    **dict.fromkeys(("path", "config", "revision", "format", "delimiter", "unsound"), TEXT),
    **dict.fromkeys(("columns", "positive", "negative"), (list,)),
    "quotes": (bool,),
    "test_share": (float, int),
    "seed": (int,),
    "streaming": (int,),
}
KINDS = {
    str: "text",
    list: "a list",
    dict: "a mapping",
    bool: "true or false",
    float: "a number",
    int: "a whole number",
}


def open_table(rest: str) -> TaskSuite:
    """Open the suite that a YAML file describes.

    Args:
        rest: ``FILE.yaml``, or a folder that holds ``tables.yaml``.

    Raises:
        UserError: a file or a key is missing, unknown or wrong. Rows are read on first use.
    """
    path, _ = split_options(rest, {})
    return open_yaml(inside(path, "tables.yaml") if os.path.isdir(path) else path)


def open_yaml(path: Path) -> TaskSuite:
    """Open the suite of a table YAML: one task at the top, or several under `tasks`.

    Raises:
        UserError: see `open_table`.
    """
    of_rows = path.suffix.lower() in ENDINGS
    config = None if of_rows and path.suffix.lower() != ".json" and path.is_file() else read_yaml(path)
    if not isinstance(config, dict):
        found, fix = ("rows", how_to_open(path)) if of_rows else (type(config).__name__, None)
        raise UserError("not a mapping", where=path, found=found, expected="a YAML file of key: value lines", fix=fix)
    if "tasks" not in config:
        task = open_task(config, path.stem, path)
        return make_suite(task.name, [task], None, path)
    suite = checked(config, SUITE_KEYS, path)
    tasks = []
    for name, keys in suite["tasks"].items():
        where = f"{path} (tasks.{str(name)[:60]})"
        if not isinstance(name, str) or not isinstance(keys, dict):
            raise UserError("not a task", where=where, found=repr(keys)[:60], expected="name: {key: value}")
        tasks.append(open_task(keys, name, path, where))
    splits = suite.get("splits")
    for side, names in (splits or {}).items():
        if side not in META_SPLITS:
            raise UserError(f"unknown split {str(side)[:60]!r}", where=path, fix=nearest(str(side)[:60], META_SPLITS))
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise UserError(f"{side} has a wrong type", where=path, found=repr(names)[:60], expected="a list of names")
    return make_suite(suite.get("name", path.stem), tasks, splits, path, suite.get("description", ""))


def checked(config: Mapping[Any, Any], known: Mapping[str, tuple[type, ...]], where: object) -> dict[str, Any]:
    """Return the keys with a value, each known and of a right type.

    Raises:
        UserError: else.
    """
    given = {key: value for key, value in config.items() if value is not None}
    for key, value in given.items():
        if key not in known:
            raise UserError(f"unknown key {str(key)[:60]!r}", where=where, fix=nearest(str(key)[:60], known))
        if type(value) not in known[key]:
            expected = " or ".join(KINDS[kind] for kind in known[key])
            raise UserError(f"{key} has a wrong type", where=where, found=repr(value)[:60], expected=expected)
    return given


def open_task(config: Mapping[Any, Any], name: str, path: Path, where: object = None) -> Task:
    """Open one task from the keys of a YAML file at `path`, or keys that stand for such a file.

    Args:
        name: the task's, unless the keys name another.
        path: data files and local data sets are looked for in its folder.
        where: heads the errors; else the path.

    Raises:
        UserError: see `open_table`.
    """
    where = where or path
    keys = checked(config, TASK_KEYS, where)
    columns = Columns.of(keys, where)
    _check_values(keys, where)
    limit, share = keys.get("streaming"), keys.get("test_share", 0.2)
    head: dict[str, Any] = {key: keys[key] for key in HEAD_KEYS if key in keys}
    shown: Any = {key: illustrations(keys[key], key, where) for key in ("positive", "negative") if key in keys}
    if "path" in keys:
        data = find_dataset(keys, path.parent, where)
        parts, head = data.parts, {**data.head, **head}
    else:
        parts = _file_parts(keys, path.parent, where)
    reading = Reading(parts, columns, limit, share, keys.get("seed", 0), keys.get("unsound", "refuse"), where)
    labels = reading.labels()
    form: Form = "tags" if columns.tokens else "options" if labels or columns.options else "text"
    kind: Any = keys.get("type") or default_type(form, bool(labels))
    if form == "text" and kind in CHOSEN:
        fix = 'Name the labels: labels: [WORD, WORD], or labels: "*" for those of the rows; or a column of options.'
        raise UserError(f"type {kind} without labels or options", where=where, found="neither", fix=fix)
    metric: Any = keys.get("metric") or DEFAULT_METRICS[form]
    if (metric == "span_f1") != (form == "tags"):
        found = f"{metric} for the form {form}"
        expected = "span_f1 for tags, another metric otherwise"
        raise UserError("the metric does not fit the columns", where=where, found=found, expected=expected)
    head.setdefault("family", head.get("source", ""))
    head.update(shown)
    try:
        return Task(
            keys.get("name", name), kind, partial(reading.examples, labels), labels=labels, metric=metric, **head
        )
    except UserError as error:
        raise UserError(str(error), where=where) from None


def _check_values(keys: Mapping[str, Any], where: object) -> None:
    for key, values in (("type", TASK_TYPES), ("metric", METRICS), ("unsound", ("refuse", "skip"))):
        if key in keys and keys[key] not in values:
            raise UserError(f"unknown {key} {keys[key][:60]!r}", where=where, fix=nearest(keys[key][:60], values))
    if not 0 < (share := keys.get("test_share", 0.2)) < 1:
        raise UserError(f"test_share must be between 0 and 1, but is {share}", where=where)
    if (limit := keys.get("streaming")) is not None and limit < 1:
        raise UserError(f"streaming must be a number of rows, 1 or more, but is {limit}", where=where)


def _file_parts(keys: Mapping[str, Any], folder: Path, where: object) -> dict[str, Rows]:
    """ "train" and perhaps "test" -> its rows."""
    if "train" not in keys:
        raise UserError("key 'train' is missing", where=where, expected="train: FILE, or path: DATA SET")
    kind = keys.get("format", "")
    if kind and kind not in FORMATS:
        raise UserError(f"unknown format {kind[:60]!r}", where=where, fix=nearest(kind[:60], FORMATS))
    delimiter = keys.get("delimiter", ",")
    if len(delimiter) != 1 or delimiter in '"\r\n \t':
        raise UserError("delimiter must be one character", where=where, found=repr(delimiter[:20]), expected="one sign")
    header = tuple(keys.get("columns", ()))
    if not all(isinstance(c, str) and c for c in header) or len(set(header)) != len(header):
        raise UserError("columns has a wrong value", where=where, found=repr(header)[:60], expected="distinct names")
    parts: dict[str, Rows] = {}
    for part in ("train", "test"):
        names = keys.get(part, [])
        names = [names] if isinstance(names, str) else names
        if not all(isinstance(n, str) and n for n in names) or (part in keys and not names):
            raise UserError(f"{part} has a wrong type", where=where, found=repr(names)[:60], expected="names of files")
        if names:
            paths = tuple(inside(folder, name) for name in names)
            parts[part] = rows = FileRows(paths, kind, header, delimiter, keys.get("quotes"))
            for path in paths:
                rows.kind(path)
                if not os.path.isfile(path):  # also where the name is too long
                    raise UserError(
                        "there is no such file", where=path, expected=f"the file that {part} names in {where}"
                    )
    return parts


@dataclass(frozen=True)
class Reading:
    """How the rows of a task become its examples.

    Attributes:
        parts: "train" and perhaps "test" -> rows; without "test" the train rows are divided.
        limit: this many rows of each part are read.
        share: the share of the items that is for testing, where rows are divided.
        seed: seeds that division.
        unsound: "refuse" or "skip".
        where: heads the errors.
    """

    parts: Mapping[str, Rows]
    columns: Columns
    limit: int | None
    share: float
    seed: int
    unsound: str
    where: object

    def labels(self) -> tuple[str, ...]:
        """Return the task's labels: stated, or of the output's classes, or (by "*") what the train rows hold, sorted.

        Raises:
            UserError: fewer than two by "*"; or a list that fits neither the names nor the number of classes.
        """
        columns = self.columns
        if columns.tokens:  # here labels are the types of spans, for people to read
            return () if columns.label_map else columns.labels
        if columns.labels_from_data:
            return self._found_labels()
        names = self._names("train") if not columns.options else ()
        if columns.labels and not columns.label_map and names and set(names) != set(columns.labels):
            words = [*columns.labels, *("WORD" for _ in names)]
            pairs = ", ".join(f"{json.dumps(n)}: {json.dumps(w)}" for n, w in list(zip(names, words, strict=False))[:8])
            raise UserError(
                "labels are not the classes of the data",
                where=self.where,
                found=list(columns.labels)[:20],
                expected=list(names)[:20],
                fix=f"Leave labels out, or say which word stands for which class, such as labels: {{{pairs}}}.",
            )
        return columns.labels or names

    def _found_labels(self) -> tuple[str, ...]:
        """Return what the train rows hold as outputs, sorted."""
        names, places, counts = self._names("train"), dict[str, object](), Counter[str]()
        for where, row in self._rows("train"):
            word = self.columns.label(cell(row, self.columns.output, where), names, where)
            if word.strip():
                places.setdefault(word, where)
                counts[word] += 1
            elif self.unsound == "refuse":
                fix = f"Fill it in, or add {self._skipping()} to leave such rows out."
                raise UserError("the output is empty", where=where, found=repr(word), expected="a label", fix=fix)
        found = tuple(sorted(places))
        if not found:
            fix = "Fill in the column of the output."
            raise UserError("the train rows have no label", where=self._files("train"), found="empty outputs", fix=fix)
        if len(found) < 2:
            raise UserError("all outputs are alike", where=self.where, found=list(found), expected="two labels or more")
        if wrong := labels_problem(found):
            rare = sorted(found, key=counts.__getitem__)
            odd = next((w for w in rare if not labels_problem([word for word in found if word != w])), rare[0])
            fix = f"Write them alike in the file, or map them: labels: {{{json.dumps(odd)}: WORD, ...}}."
            raise UserError(wrong[0], where=places[odd], found=wrong[1], expected=wrong[2], fix=fix)
        return found

    def examples(self, labels: tuple[str, ...], split: str) -> list[Example]:
        """Return the examples of a split, checked."""
        part = split if split in self.parts else "train"
        files = self._files(part)
        examples = sound(self._items(part, labels), labels, {"unsound": self.unsound}, files, self._skipping())
        return examples if "test" in self.parts else divided(examples, self.share, files, self.seed)[split]

    def _items(self, part: str, labels: tuple[str, ...]) -> Iterator[Item]:
        names = self._names(part)
        for where, row in self._rows(part):
            example = self.columns.example(row, names, where)
            if not (self.columns.options or self.columns.tokens) and (labels or names):
                example = replace(example, options=labels or None)
            yield where, example

    def _rows(self, part: str) -> Iterator[tuple[object, Row]]:
        """Yield the rows of a part, of which there must be one."""
        rows = islice(self.parts[part].read(self.columns.wanted()), self.limit)
        first = next(rows, None)
        if first is None:
            expected = f"at least one, for the examples of {self.where}"
            raise UserError("the table has no rows", where=self._files(part), expected=expected)
        yield first
        yield from rows

    def _files(self, part: str) -> object:
        """Return the files of a part, for an error about all of its rows; what heads the other errors where it has
        none on this machine."""
        rows = self.parts[part]
        return ", ".join(map(str, rows.paths)) if isinstance(rows, FileRows) else self.where

    def _skipping(self) -> str:
        """Return how to leave out unsound rows, in the words of the file or command that gave the keys."""
        return "the option unsound=skip" if str(self.where).startswith("hf:") else 'the key "unsound: skip"'

    def _names(self, part: str) -> tuple[str, ...]:
        return self.parts[part].class_names(self.columns.tags or self.columns.output)
