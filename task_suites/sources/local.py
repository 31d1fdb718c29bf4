"""Tasks in folders of one's own: `<task>/task.yaml`, `train.jsonl`, `test.jsonl` and one `suite.yaml` above them.

docs/data.md says what the files hold. Every error names file and line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from task_suites.core.errors import UserError, nearest
from task_suites.core.files import inside
from task_suites.core.json_files import read_json_lines
from task_suites.core.yaml_files import read_yaml
from task_suites.example import Example
from task_suites.sources.layouts import illustrations, object_of
from task_suites.sources.rows import ENDINGS, how_to_open
from task_suites.task import Task, TaskSuite

EXAMPLE_KEYS = {field.name for field in fields(Example)}
PARTS = ("train.jsonl", "test.jsonl")
CHOSEN = ("classification", "multiple_choice")  # types of task whose answer is one of several
LISTS = ("options", "tokens", "tags", "accepted")
TEXTS = ("str", "TaskType", "Metric")  # types of the fields that are texts
TASK_KEYS: dict[str, type] = {
    **{field.name: str for field in fields(Task) if field.type in TEXTS and field.name != "suite"},
    **dict.fromkeys(("labels", "positive", "negative"), list),
    "train_size": int,
    "test_size": int,
}
SUITE_KEYS: dict[str, type] = {"name": str, "description": str, "splits": dict}
LAYOUT = "Give another --suite: a folder of your own (docs/data.md has the layout), or embedded, which is built in."
QUOTES = "Put it in quotes: YAML reads yes, no, on and off as true and false, and digits as numbers."
KINDS = {str: "text, in quotes where YAML reads another type", list: "a list", int: "a whole number", dict: "a mapping"}


def open_folder(folder: Path) -> TaskSuite:
    """Open the suite in `folder`.

    The split comes from suite.yaml; a folder without one is a suite whose tasks are all for meta-testing. A task
    without a `family` gets its `source` as one, so that tasks of one data set stay on one side.

    Raises:
        UserError: the folder, a file or a key is missing, unknown or unreadable. Examples are read when a task is
            first requested, and their errors are raised then.
    """
    if not folder.is_dir():
        expected = "a folder of task folders, or the name of a suite"
        raise UserError(f"no suite at {folder}", expected=expected, fix=_named_otherwise(folder) or LAYOUT)
    names = sorted(p.parent.name for p in folder.glob("*/task.yaml"))
    if missing := {p.parent.name for part in PARTS for p in folder.glob(f"*/{part}")} - set(names):
        raise UserError("task.yaml is missing", where=folder / min(missing), fix="See docs/data.md for the layout.")
    if not names:
        raise UserError(f"{folder} has no task", expected="<task>/task.yaml, train.jsonl and test.jsonl")
    tasks = {name: _open_task(folder / name) for name in names}
    header = _Header(folder.name, {"meta_test": tuple(names)})
    if (folder / "suite.yaml").exists():
        header = _Header.read(inside(folder, "suite.yaml"))
    try:
        return TaskSuite(header.name, tasks, header.splits, header.description)
    except UserError as error:
        raise UserError(str(error), where=folder / "suite.yaml") from None


def _named_otherwise(path: Path) -> str | None:
    """Return by which name a file that was given as a folder is a suite; None where it is not one of rows or a YAML."""
    if not path.is_file():
        return None
    if path.suffix in (".yaml", ".yml"):
        return f"A YAML file about a table is named table:{path}."
    return how_to_open(path) if path.suffix.lower() in ENDINGS else None


@dataclass(frozen=True)
class _Header:
    """What a suite.yaml holds."""

    name: str
    splits: dict[str, tuple[str, ...]]
    description: str = ""

    @classmethod
    def read(cls, path: Path) -> _Header:
        """Return the header in a file.

        Raises:
            UserError: a key is missing, unknown or of a wrong type.
        """
        given = _read_yaml(path, SUITE_KEYS, required=("name", "splits"))
        if not are_texts(list(given["splits"])):
            raise UserError("the name of a split is not text", where=path)
        for split, members in given["splits"].items():
            if not are_texts(members or []):
                found = repr(members)[:60]
                raise UserError(f"{split} has a wrong type", where=path, found=found, expected="a list of task names")
        splits = {split: tuple(members or ()) for split, members in given["splits"].items()}
        return cls(given["name"], splits, given.get("description", ""))


def _open_task(folder: Path) -> Task:
    path = inside(folder.parent, f"{folder.name}/task.yaml")
    header = _read_yaml(path, TASK_KEYS, required=("name", "type"))
    if header["name"] != folder.name:
        raise UserError("name differs from the folder's", where=path, found=header["name"], expected=folder.name)
    for part in PARTS:
        if not inside(folder.parent, f"{folder.name}/{part}").is_file():
            raise UserError(f"{part} is missing", where=folder, expected="task.yaml, train.jsonl and test.jsonl")
    sizes = {"train": header.pop("train_size", None), "test": header.pop("test_size", None)}
    labels = header.get("labels", [])
    if not are_texts(labels):
        found = repr(next(label for label in labels if not isinstance(label, str)))
        raise UserError("a label is not text", where=path, found=found, fix=QUOTES)
    header["labels"] = tuple(labels)
    header |= {key: illustrations(header[key], key, path) for key in ("positive", "negative") if key in header}
    header.setdefault("family", header.get("source", ""))
    spans = header.get("metric") == "span_f1"
    chosen = header["type"] in CHOSEN
    try:
        return Task(load=partial(_read_examples, folder, header["labels"], sizes, spans, chosen), **header)
    except UserError as error:
        raise UserError(str(error), where=path) from None


def are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _read_yaml(path: Path, known: dict[str, type], required: tuple[str, ...]) -> dict[str, Any]:
    """Return the mapping in a file, its keys and types checked; a key without a value counts as absent."""
    value = read_yaml(path)
    if not isinstance(value, dict):
        raise UserError("not a mapping", where=path, found=type(value).__name__, expected=f"keys {sorted(known)}")
    value = {key: item for key, item in value.items() if item is not None}
    for key, item in value.items():
        if key not in known:
            raise UserError(f"unknown key {key!r}", where=path, fix=nearest(str(key)[:60], known))
        if type(item) is not known[key]:
            raise UserError(f"{key} has a wrong type", where=path, found=repr(item)[:60], expected=KINDS[known[key]])
    for key in required:
        if key not in value:
            raise UserError(f"key {key!r} is missing", where=path, expected=f"keys {list(required)}")
    return value


def _read_examples(
    folder: Path, labels: tuple[str, ...], sizes: dict[str, int | None], spans: bool, chosen: bool, split: str
) -> list[Example]:
    path = folder / f"{split}.jsonl"
    examples = [parse_example(row, labels, where) for where, row in read_json_lines(path)]
    wanted = sizes.get(split)
    if wanted is not None and wanted != len(examples):
        raise UserError(
            "the file is not whole",
            where=path,
            found=f"{len(examples)} examples",
            expected=f"{wanted} ({split}_size in task.yaml)",
        )
    if not examples:
        raise UserError("the file is empty", where=path, expected="one JSON object a line")
    for number, example in enumerate(examples, 1):
        if example.form != examples[0].form:
            found = f"{example.form} after {examples[0].form}"
            raise UserError(
                "the examples have different forms",
                where=f"{path}:{number}",
                found=found,
                expected="one form in a task",
            )
    if chosen and examples[0].form == "text":
        raise UserError(
            "the task's type chooses from options, and the examples have none",
            where=folder / "task.yaml",
            found="neither labels nor options",
            fix="Add labels: [WORD, WORD], give each example its options, or write type: generation.",
        )
    if spans != (examples[0].form == "tags"):
        raise UserError(
            "the metric does not fit the examples",
            where=folder / "task.yaml",
            found=f"examples of the form {examples[0].form}",
            expected="metric span_f1 for tokens and tags, and only for these",
        )
    return examples


def parse_example(row: Any, labels: tuple[str, ...] = (), where: object = None) -> Example:
    """Return an answered example from one JSON object; `where` (file:line) heads the error.

    An input and output without options has the task's labels as options, where the task has labels.

    Raises:
        UserError: not an object, an unknown key, a value of a wrong type, or an unsound example.
    """
    for key in object_of(row, where):
        if key not in EXAMPLE_KEYS:
            raise UserError(f"unknown key {key!r}", where=where, fix=nearest(key, EXAMPLE_KEYS))
    example = _typed(row, where)
    if labels and "tokens" not in row and "options" not in row:
        example = replace(example, options=labels)
    return checked_example(example, labels, where)


def parse_query(row: Any, where: object = None) -> Example:
    """Return an example without its answer, from one JSON object that may hold other keys too.

    Raises:
        UserError: not an object, a value of a wrong type, or an unsound query.
    """
    given = {key: value for key, value in object_of(row, where).items() if key in ("input", "options", "tokens")}
    if not given.keys() & {"input", "tokens"}:
        raise UserError(
            "input is missing", where=where, found=f"keys {sorted(row)[:8]}", expected='"input", or "tokens"'
        )
    return checked_example(_typed(given, where), (), where, answered=False)


def checked_example(example: Example, labels: tuple[str, ...], where: object, answered: bool = True) -> Example:
    """Return the example, which is sound.

    Raises:
        UserError: it is not.
    """
    if wrong := example.problem(labels, answered):
        raise UserError(wrong[0], where=where, found=wrong[1], expected=wrong[2])
    return example if where is None else replace(example, where=str(where))


def _typed(row: Mapping[str, Any], where: object) -> Example:
    """Return an example whose fields are each of their type; not checked otherwise."""
    for key, value in row.items():
        if not (are_texts(value) if key in LISTS else isinstance(value, str)):
            expected = "a list of strings" if key in LISTS else "a string"
            raise UserError(
                f"{key} has a wrong type",
                where=where,
                found=repr(value)[:60],
                expected=expected,
                fix=_retyped(key, value),
            )
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    return Example(**values)


def _retyped(key: str, value: Any) -> str | None:
    """How a value of a wrong type would be written, where that can be told."""
    plain = (str, int, float)
    if key in LISTS and isinstance(value, str):
        return f'Write it as a list: "{key}": {json.dumps([value], ensure_ascii=False)[:-1]}, ...].'
    if key in LISTS and isinstance(value, list) and all(isinstance(item, plain) for item in value):
        shown = json.dumps([_text(item) for item in value], ensure_ascii=False)
        return f'Put each in quotes: "{key}": {shown[:80]}.' if len(shown) <= 80 else "Put each in quotes."
    if key not in LISTS and isinstance(value, plain):
        return f"Put it in quotes: {json.dumps(_text(value))}."
    return None


def _text(value: str | int | float) -> str:
    return value if isinstance(value, str) else json.dumps(value)
