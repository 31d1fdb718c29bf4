"""Tasks in folders of one's own: `<task>/task.yaml`, `train.jsonl`, `test.jsonl` and one `suite.yaml` above them.

docs/data.md says what the files hold. Every error names file and line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from task_suites.errors import UserError, nearest
from task_suites.task import Example, Task, TaskSuite

EXAMPLE_KEYS = {field.name for field in fields(Example)}
TASK_KEYS = {field.name for field in fields(Task) if field.name not in ("load", "_loaded")}
SIZES = {"train_size", "test_size"}


def open_folder(folder: Path) -> TaskSuite:
    """The suite in `folder`.

    The split comes from suite.yaml; a folder without one is a suite whose tasks are all for meta-testing. A task
    without a `family` gets its `source` as one, so that tasks of one data set stay on one side.

    Raises:
        UserError: the folder, a file or a key is missing, unknown or unreadable.
    """
    if not folder.is_dir():
        raise UserError(f"no suite at {folder}", expected="a folder of task folders, or the name of a suite")
    names = sorted(p.parent.name for p in folder.glob("*/task.yaml"))
    if not names:
        raise UserError(f"{folder} holds no task", expected="<task>/task.yaml, train.jsonl and test.jsonl")
    half = [p.name for p in sorted(folder.iterdir()) if p.is_dir() and (p / "train.jsonl").exists()]
    if missing := set(half) - set(names):
        raise UserError("task.yaml is missing", where=folder / min(missing), fix="See docs/data.md for the layout.")
    tasks = {name: _open_task(folder / name) for name in names}
    header: dict[str, Any] = {"name": folder.name, "splits": {"meta_test": names}}
    if (folder / "suite.yaml").exists():
        header = _read_yaml(folder / "suite.yaml", {"name", "description", "splits"}, required=("name", "splits"))
    splits = {split: tuple(members or ()) for split, members in header["splits"].items()}
    try:
        return TaskSuite(header["name"], tasks, splits, header.get("description", ""))
    except UserError as error:
        raise UserError(str(error), where=folder / "suite.yaml") from None


def _open_task(folder: Path) -> Task:
    path = folder / "task.yaml"
    header = _read_yaml(path, TASK_KEYS | SIZES, required=("name", "type"))
    if header["name"] != folder.name:
        raise UserError("name differs from the folder's", where=path, found=header["name"], expected=folder.name)
    for part in ("train.jsonl", "test.jsonl"):
        if not (folder / part).is_file():
            raise UserError(f"{part} is missing", where=folder, expected="task.yaml, train.jsonl and test.jsonl")
    sizes = {"train": header.pop("train_size", None), "test": header.pop("test_size", None)}
    header["labels"] = tuple(map(str, header.get("labels") or ()))
    header.setdefault("family", header.get("source", ""))
    try:
        return Task(load=partial(_read_examples, folder, header["labels"], sizes), **header)
    except UserError as error:
        raise UserError(str(error), where=path) from None


def _read_yaml(path: Path, known: set[str], required: tuple[str, ...]) -> dict[str, Any]:
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"not readable as YAML: {' '.join(str(error).split())}", where=path) from None
    if not isinstance(value, dict):
        raise UserError("not a mapping", where=path, found=type(value).__name__, expected=f"keys {sorted(known)}")
    for key in value:
        if key not in known:
            raise UserError(f"unknown key {key!r}", where=path, fix=nearest(str(key), known))
    for key in required:
        if key not in value:
            raise UserError(f"key {key!r} is missing", where=path, expected=f"keys {list(required)}")
    return value


def _read_examples(folder: Path, labels: tuple[str, ...], sizes: dict[str, int | None], split: str) -> list[Example]:
    path = folder / f"{split}.jsonl"
    examples = list(_parse_lines(path, labels))
    wanted = sizes.get(split)
    if wanted is not None and wanted != len(examples):
        raise UserError(
            "the file is not whole",
            where=path,
            found=f"{len(examples)} examples",
            expected=f"{wanted} ({split}_size in task.yaml)",
        )
    forms = sorted({e.form for e in examples})
    if len(forms) > 1:
        raise UserError("examples of different forms", where=path, found=forms, expected="one form in a task")
    return examples


def _parse_lines(path: Path, labels: tuple[str, ...]) -> Iterable[Example]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            where = f"{path}:{number}"
            if not line.strip():
                raise UserError("empty line", where=where, expected="one JSON object a line")
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(f"not JSON ({error.msg})", where=where, found=repr(line.strip()[:60])) from None
            yield parse_example(row, labels, where)


def parse_example(row: Any, labels: tuple[str, ...] = (), where: object = None) -> Example:
    """An answered example from one JSON object; `where` (file:line) heads the error.

    Raises:
        UserError: not an object, an unknown key, a value of a wrong type, or an unsound example.
    """
    if not isinstance(row, dict):
        raise UserError("not a JSON object", where=where, found=type(row).__name__)
    for key, value in row.items():
        if key not in EXAMPLE_KEYS:
            raise UserError(f"unknown key {key!r}", where=where, fix=nearest(key, EXAMPLE_KEYS))
        listed = key in ("options", "tokens", "tags")
        if not (
            isinstance(value, list) and all(isinstance(v, str) for v in value) if listed else isinstance(value, str)
        ):
            expected = "a list of strings" if listed else "a string"
            raise UserError(f"{key} has a wrong type", where=where, found=repr(value)[:60], expected=expected)
    values: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in row.items()}
    example = Example(**values)
    if wrong := example.problem(labels):
        raise UserError(wrong[0], where=where, found=wrong[1], expected=wrong[2])
    return example
