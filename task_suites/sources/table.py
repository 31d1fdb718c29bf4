"""Plain tables by a short YAML file that says which column is what: `table:FILE.yaml`, or a folder with tables.yaml.

docs/data.md, "Tables", has the keys. The same file may name a data set (`path`), which hub.py beside this file finds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from task_suites.core.errors import UserError, nearest
from task_suites.core.files import inside
from task_suites.core.yaml_files import read_yaml
from task_suites.example import Example, Form, labels_problem
from task_suites.sources.cells import (
    QUOTES,
    as_text,
    as_typed,
    cell,
    keys_as_text,
    list_of,
    mapped,
    refuse_number,
    refuse_option_number,
    texts,
)
from task_suites.sources.dataset_rows import find_dataset
from task_suites.sources.layouts import Item, answered, divided, illustrations, make_suite, sound
from task_suites.sources.local import CHOSEN
from task_suites.sources.options import split_options
from task_suites.sources.row_template import fields_of, is_template
from task_suites.sources.rows import FORMATS, FileRows, Row, Rows
from task_suites.task import DEFAULT_METRICS, META_SPLITS, METRICS, TASK_TYPES, Task, TaskSuite, default_type

FROM_DATA = "*"  # as `labels`: the outputs that the train rows have
TEXT = (str,)
TEXTS = (str, list)
SUITE_KEYS: dict[str, tuple[type, ...]] = {"name": TEXT, "description": TEXT, "tasks": (dict,), "splits": (dict,)}
HEAD_KEYS = ("instruction", "description", "domain", "family", "source", "licence")  # of `Task`, taken as they are
COLUMN_KEYS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("input", "output", "tokens", "tags", "accepted", "separator"), TEXT),
    **dict.fromkeys(("options", "option_keys"), TEXTS),
    "labels": (list, dict, str),
}
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
    """The suite that a YAML file describes.

    Args:
        rest: ``FILE.yaml``, or a folder that holds ``tables.yaml``.

    Raises:
        UserError: a file or a key is missing, unknown or wrong. Rows are read on first use.
    """
    path, _ = split_options(rest, {})
    return open_yaml(inside(path, "tables.yaml") if os.path.isdir(path) else path)


def open_yaml(path: Path) -> TaskSuite:
    """The suite of a table YAML: one task at the top, or several under `tasks`.

    Raises:
        UserError: see `open_table`.
    """
    config = read_yaml(path)
    if not isinstance(config, dict):
        raise UserError("not a mapping", where=path, found=type(config).__name__, expected="key: value lines")
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
    """The keys with a value, each known and of a right type.

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
    """One task from the keys of a YAML file at `path`, or keys that stand for such a file.

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
    for key, values in (("type", TASK_TYPES), ("metric", METRICS), ("unsound", ("refuse", "skip"))):
        if key in keys and keys[key] not in values:
            raise UserError(f"unknown {key} {keys[key][:60]!r}", where=where, fix=nearest(keys[key][:60], values))
    share = keys.get("test_share", 0.2)
    if not 0 < share < 1:
        raise UserError("test_share is out of range", where=where, found=share, expected="between 0 and 1")
    limit = keys.get("streaming")
    if limit is not None and limit < 1:
        raise UserError("streaming is out of range", where=where, found=limit, expected="a number of rows")
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
        raise UserError("the metric does not fit the columns", where=where, found=f"{metric} for the form {form}")
    head.setdefault("family", head.get("source", ""))
    head.update(shown)
    try:
        return Task(
            keys.get("name", name), kind, partial(reading.examples, labels), labels=labels, metric=metric, **head
        )
    except UserError as error:
        raise UserError(str(error), where=where) from None


def _file_parts(keys: Mapping[str, Any], folder: Path, where: object) -> dict[str, Rows]:
    """ "train" and perhaps "test" -> its rows."""
    if "train" not in keys:
        raise UserError("key 'train' is missing", where=where, expected="train: FILE, or path: DATA SET")
    kind = keys.get("format", "")
    if kind and kind not in FORMATS:
        raise UserError(f"unknown format {kind[:60]!r}", where=where, fix=nearest(kind[:60], FORMATS))
    delimiter = keys.get("delimiter", ",")
    if len(delimiter) != 1 or delimiter in '"\r\n \t':
        raise UserError("delimiter is no such thing", where=where, found=repr(delimiter[:20]), expected="one sign")
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
                    raise UserError("no such file", where=path, expected=f"{part} of {where}")
    return parts


@dataclass(frozen=True)
class Columns:
    """Which column is what; `input` and `output` may be templates, and a name may lead into an object: `choices.text`.

    Attributes:
        options: the column that holds a row's own choices (a list, or text split at `separator`), or the columns that
            hold one each.
        option_keys: names of the options by which the output may say which is right, as a column or a list.
        labels: the label words; none where the column's classes or the train rows name them.
        label_map: a cell's value as text -> its label word.
    """

    input: str = ""
    output: str = ""
    options: str | tuple[str, ...] = ""
    option_keys: str | tuple[str, ...] = ""
    tokens: str = ""
    tags: str = ""
    accepted: str = ""
    separator: str = "|"
    labels: tuple[str, ...] = ()
    label_map: Mapping[str, str] = field(default_factory=dict)
    labels_from_data: bool = False

    @staticmethod
    def of(keys: Mapping[str, Any], where: object) -> Columns:
        """From the keys of a task.

        Raises:
            UserError: neither input and output nor tokens and tags, or labels of a wrong type.
        """
        values = {key: keys[key] for key in COLUMN_KEYS if key in keys and key != "labels"}
        for key in ("options", "option_keys"):
            if isinstance(values.get(key), list):
                kinds = (str,) if key == "options" else (str, int)
                if not all(isinstance(v, kinds) for v in values[key]):
                    raise UserError(f"{key} has a wrong type", where=where, found=repr(values[key])[:60])
                values[key] = tuple(as_text(v, where) for v in values[key])
        if ("tokens" in values) != ("tags" in values) or ("tokens" in values) == bool(
            values.keys() & {"input", "output"}
        ):
            raise UserError("which columns?", where=where, expected="input and output, or tokens and tags")
        if "tokens" not in values and not {"input", "output"} <= values.keys():
            raise UserError("a column is missing", where=where, expected="input and output")
        labels = keys.get("labels", [])
        if isinstance(labels, str):
            if labels != FROM_DATA:
                raise UserError(
                    "labels has a wrong value", where=where, found=repr(labels[:60]), expected='a list, or "*"'
                )
            return Columns(**values, labels_from_data=True)
        words = list(labels.values()) if isinstance(labels, dict) else labels
        if strange := [word for word in words if not isinstance(word, str)]:
            raise UserError("a label is not text", where=where, found=repr(strange[0])[:60], fix=QUOTES)
        mapping = keys_as_text(labels, where) if isinstance(labels, dict) else {}
        distinct = tuple(dict.fromkeys(words)) if mapping else tuple(words)
        if problem := labels_problem(distinct):
            raise UserError(problem[0], where=where, found=problem[1], expected=problem[2])
        return Columns(**values, labels=distinct, label_map=mapping)

    def wanted(self) -> set[str]:
        """The columns that are read."""
        parts = (self.input, self.output, self.tokens, self.tags, self.accepted)
        lists = [self.options] if isinstance(self.options, str) else self.options
        named = [self.option_keys] if isinstance(self.option_keys, str) else []
        names = {part for part in (*parts, *lists, *named) if part}
        return {n for name in names for n in (fields_of(name) if is_template(name) else (name, name.split(".")[0]))}

    def example(self, row: Row, names: Sequence[str], where: object) -> Example:
        """An example from a row; not checked yet.

        Args:
            names: of the classes of the output's or the tags' column.

        Raises:
            UserError: a column that is not there, or a cell of a wrong type.
        """
        if self.tokens:
            tokens, tags = (cell(row, name, where) for name in (self.tokens, self.tags))
            tokens = tokens.split() if isinstance(tokens, str) else list_of(tokens, self.tokens, where)
            tags = tags.split() if isinstance(tags, str) else list_of(tags, self.tags, where)
            return Example(
                tokens=tuple(texts(tokens, where)), tags=tuple(self.label(tag, names, where) for tag in tags)
            )
        text = as_text(cell(row, self.input, where), where)
        output = cell(row, self.output, where)
        options = self._options(row, where)
        more = cell(row, self.accepted, where) if self.accepted else None
        more = [] if more is None else list_of(self._parts(more), self.accepted, where)
        if self.labels or self.label_map or names or self.labels_from_data:
            label, *others = (self.label(value, names, where) for value in (output, *more))
            return Example(text, label, options or self.labels or tuple(names) or None, accepted=tuple(others))
        if options:
            choice, *others = (self._choice(value, options, row, where) for value in (output, *more))
            return Example(text, choice, options, accepted=tuple(others))
        outputs = output if isinstance(output, (list, tuple)) else [output]
        return answered(text, texts([*outputs, *more], where))

    def label(self, value: Any, names: Sequence[str], where: object) -> str:
        """The label word of a cell: a class by its number or name, then the map.

        Raises:
            UserError: a value that the map or the classes lack, or a number of which nobody says what it means.
        """
        text = as_text(value, where)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if names and whole:
            if not 0 <= value < len(names):
                fix = "A split without answers? Name another for `test`." if value == -1 else None
                expected = f"0 to {len(names) - 1}"
                raise UserError("no such class", where=where, found=value, expected=expected, fix=fix)
            text = names[value]
        if self.label_map:
            return mapped(
                as_text(value, where) if whole and text not in self.label_map else text, self.label_map, where
            )
        if self.tokens:
            return text
        if text not in names and text not in self.labels:
            text = as_typed(text)
        if self.labels:
            refuse_number(text, self.labels, where)
        return text

    def _options(self, row: Row, where: object) -> tuple[str, ...]:
        if not self.options:
            return ()
        if isinstance(self.options, tuple):
            return tuple(as_text(cell(row, name, where), where) for name in self.options)
        return tuple(texts(list_of(self._parts(cell(row, self.options, where)), self.options, where), where))

    def _parts(self, value: Any) -> Any:
        return (
            [part.strip() for part in value.split(self.separator)]
            if isinstance(value, str) and self.separator
            else value
        )

    def _keys(self, row: Row, where: object) -> list[str]:
        own = self.option_keys
        keys = texts(own if isinstance(own, tuple) else list_of(self._parts(cell(row, own, where)), own, where), where)
        if len(set(keys)) != len(keys):
            raise UserError("a key names two options", where=where, found=keys[:20], expected="distinct option_keys")
        return keys

    def _choice(self, output: Any, options: Sequence[str], row: Row, where: object) -> str:
        """The option that the output names, by its key or its text."""
        text = as_text(output, where)
        if self.option_keys:
            keys = self._keys(row, where)[: len(options)]
            if text not in keys:
                expected = f"one of {keys[:20]}"
                raise UserError("no option has this key", where=where, found=repr(text[:60]), expected=expected)
            return options[keys.index(text)]
        refuse_option_number(text, options, where)
        return text


@dataclass(frozen=True)
class Reading:
    """How the rows of a task become its examples.

    Attributes:
        parts: "train" and perhaps "test" -> rows; without "test" the train rows are divided.
        limit: this many rows of each part are read.
        share: of the items, for testing, where rows are divided.
        seed: of that division.
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
        """The task's labels: stated, or of the output's classes, or (by "*") what the train rows hold, sorted.

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
        """What the train rows hold as outputs, sorted."""
        names, words = self._names("train"), set()
        for where, row in self._rows("train"):
            word = self.columns.label(cell(row, self.columns.output, where), names, where)
            if word.strip():
                words.add(word)
            elif self.unsound == "refuse":
                fix = f"Fill it in, or add {self._skipping()} to leave such rows out."
                raise UserError("the output is empty", where=where, found=repr(word), expected="a label", fix=fix)
        found = tuple(sorted(words))
        if not words:
            expected = "rows with an output"
            raise UserError("the train rows hold no label", where=self.where, found="no row", expected=expected)
        if len(found) < 2:
            raise UserError("the outputs are not labels", where=self.where, found=list(found), expected="two or more")
        if wrong := labels_problem(found):
            fix = f"Write them alike in the file, or map them: labels: {{{json.dumps(found[0])}: WORD, ...}}."
            raise UserError(wrong[0], where=self.where, found=wrong[1], expected=wrong[2], fix=fix)
        return found

    def examples(self, labels: tuple[str, ...], split: str) -> list[Example]:
        """The examples of a split, checked."""
        part = split if split in self.parts else "train"
        examples = sound(self._items(part, labels), labels, {"unsound": self.unsound}, self.where, self._skipping())
        return examples if "test" in self.parts else divided(examples, self.share, self.where, self.seed)[split]

    def _items(self, part: str, labels: tuple[str, ...]) -> Iterator[Item]:
        names = self._names(part)
        for where, row in self._rows(part):
            example = self.columns.example(row, names, where)
            if not (self.columns.options or self.columns.tokens) and (labels or names):
                example = replace(example, options=labels or None)
            yield where, example

    def _rows(self, part: str) -> Iterator[tuple[object, Row]]:
        return islice(self.parts[part].read(self.columns.wanted()), self.limit)

    def _skipping(self) -> str:
        """How rows that are unsound are left out, in the place where the keys were given."""
        return "the option unsound=skip" if str(self.where).startswith("hf:") else 'the key "unsound: skip"'

    def _names(self, part: str) -> tuple[str, ...]:
        return self.parts[part].class_names(self.columns.tags or self.columns.output)
