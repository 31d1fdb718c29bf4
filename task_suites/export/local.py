"""Our own layout, to edit by hand: <task>/task.yaml, train.jsonl and test.jsonl, suite.yaml (docs/data.md)."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from task_suites.core.atomic import write_lines, write_yaml
from task_suites.example import Example
from task_suites.export.writer import PARTS, Writer, head, suite_header
from task_suites.task import Task, TaskSuite


def _problem(task: Task) -> str | None:
    spans, form = task.metric == "span_f1", task.form
    return None if spans == (form == "tags") else f"the metric {task.metric} for examples of the form {form}"


def write_local(suite: TaskSuite, folder: Path) -> str:
    """Write the suite's files in the local layout, into an existing folder."""
    write_yaml(folder / "suite.yaml", suite_header(suite))
    for task in suite.tasks.values():
        (folder / task.name).mkdir()
        labels = {"labels": list(task.labels)} if task.labels else {}
        sizes = {f"{part}_size": len(task.examples(part)) for part in PARTS}
        write_yaml(folder / task.name / "task.yaml", {"name": task.name, **head(task), **labels, **sizes})
        for part in PARTS:
            write_lines(folder / task.name / f"{part}.jsonl", [_row(e, task) for e in task.examples(part)])
    return "{}"


def _row(example: Example, task: Task) -> dict[str, Any]:
    row = {f.name: getattr(example, f.name) for f in fields(Example)}
    if task.labels and example.options == task.labels:
        del row["options"]  # the task's own
    return {k: list(v) if isinstance(v, tuple) else v for k, v in row.items() if v not in (None, "", ())}


WRITER = Writer(_problem, write_local)
