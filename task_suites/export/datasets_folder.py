"""Parquet for `datasets`: <task>/train.parquet and test.parquet.

README.md is for `load_dataset`, tables.yaml for our own source.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict

import yaml

from task_suites.core.atomic import write_yaml
from task_suites.example import Example
from task_suites.export.writer import (
    PARTS,
    Writer,
    all_examples,
    folder_name,
    has_several_answers,
    head,
    suite_header,
    text_problem,
)
from task_suites.task import Task, TaskSuite


def _write(suite: TaskSuite, folder: Path) -> str:
    """Parquet with class names in its schema; a README.md whose head makes each task a config of `load_dataset`."""
    tables: dict[str, Mapping[str, object]] = {}
    configs = []
    for task in suite.tasks.values():
        name = folder_name(task.name)
        home = folder / name
        home.mkdir()
        columns = _columns(task)
        for part in PARTS:
            _parquet(home / f"{part}.parquet", task, task.examples(part), columns)
        files = {part: f"{name}/{part}.parquet" for part in PARTS}
        tables[task.name] = {**head(task), **files, **columns}
        configs.append({"config_name": name, "data_files": [{"split": p, "path": f} for p, f in files.items()]})
    write_yaml(folder / "tables.yaml", {**suite_header(suite), "tasks": tables})
    card = yaml.safe_dump({"configs": configs}, sort_keys=False, allow_unicode=True)
    body = f"# {suite.name}\n\n{suite.description}\n"
    (folder / "README.md").write_text(f"---\n{card}---\n{body}", encoding="utf-8")
    return "table:{}"


class Columns(TypedDict, total=False):
    """The keys of a table YAML that say what the columns are; a column is named after the field of `Example`."""

    input: str
    output: str
    tokens: str
    tags: str
    accepted: str
    options: str
    labels: list[str]


def _columns(task: Task) -> Columns:
    columns: Columns = {"input": "input", "output": "output"}
    if task.form == "tags":
        columns = {"tokens": "tokens", "tags": "tags"}
    if task.labels:
        columns["labels"] = list(task.labels)
    if task.form != "tags" and has_several_answers(task):
        columns["accepted"] = "accepted"
    if task.form == "options" and any(e.options != task.labels for e in all_examples(task)):
        columns["options"] = "options"
    return columns


def _parquet(path: Path, task: Task, examples: Iterable[Example], columns: Columns) -> None:
    from datasets import ClassLabel, Dataset, Features, List, Value

    text = Value("string")
    features: dict[str, Any] = {"input": text, "output": text}
    if task.form == "tags":
        features = {"tokens": List(text), "tags": List(text)}
    else:
        features |= {name: List(text) for name in ("options", "accepted") if name in columns}
        if task.form == "options" and "options" not in columns:
            features["output"] = ClassLabel(names=list(task.labels))
    values: dict[str, list[Any]] = {
        name: [list(v) if isinstance(v := getattr(e, name), tuple) else v for e in examples] for name in features
    }
    if isinstance(features.get("output"), ClassLabel):
        values["output"] = [task.labels.index(answer) for answer in values["output"]]
    table = Dataset.from_dict(values, features=Features(features)).with_format("arrow")[:]
    from pyarrow import parquet

    parquet.write_table(table, path)  # `Dataset.to_parquet` would draw a progress bar


WRITER = Writer(text_problem, _write)
