"""What the writers of several layouts share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypedDict, cast

from task_suites.example import Example
from task_suites.sources.layouts import answered
from task_suites.task import Metric, Task, TaskSuite, TaskType

PARTS = ("train", "test")
HEAD = ("instruction", "description", "domain", "source", "licence", "family")


@dataclass(frozen=True)
class Writer:
    """How a layout is written.

    Attributes:
        problem: what of a task the layout cannot hold, if anything.
        write: writes a suite into an empty folder and says how that is opened, ``{}`` standing for it.
        folders: whether each task gets a folder of its name.
    """

    problem: Callable[[Task], str | None]
    write: Callable[[TaskSuite, Path], str]
    folders: bool = True


class Shown(TypedDict):
    """An illustration of a task's definition."""

    input: str
    output: str
    explanation: str


class Head(TypedDict, total=False):
    """What a task is, as keys of its YAML; a key without a value is left out, except `family`."""

    type: TaskType
    metric: Metric
    instruction: str
    description: str
    domain: str
    source: str
    licence: str
    family: str
    positive: list[Shown]
    negative: list[Shown]


class SuiteHeader(TypedDict):
    """What a suite is: its name, its description, and the names of the tasks on each side."""

    name: str
    description: str
    splits: dict[str, list[str]]


def folder_name(name: str) -> str:
    """Return a task's name as that of a folder which `datasets` finds, and as that of a config there: `a:b` as
    `a.b`."""
    return name.replace(":", ".")


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def all_examples(task: Task) -> list[Example]:
    """Return the examples of both parts of a task."""
    return [e for part in PARTS for e in task.examples(part)]


def head(task: Task) -> Head:
    """Return what a task is, as keys of its YAML that other layouts do not have."""
    values: dict[str, object] = {"type": task.type, "metric": task.metric, **{key: getattr(task, key) for key in HEAD}}
    for key in ("positive", "negative"):
        values[key] = [asdict(illustration) for illustration in getattr(task, key)]
    return cast(Head, {key: value for key, value in values.items() if value or key == "family"})


def text_problem(task: Task) -> str | None:
    """Return what of a task's free answers a reader would write in another way, if anything."""
    if task.form == "text" and any(answered(e.input, [e.output or "", *e.accepted]) != e for e in all_examples(task)):
        return "answers that repeat or have line breaks"
    return None


def suite_header(suite: TaskSuite) -> SuiteHeader:
    """Return the suite's name, description and sides."""
    return {
        "name": suite.name,
        "description": suite.description,
        "splits": {side: list(names) for side, names in suite.splits.items()},
    }


def has_several_answers(task: Task) -> bool:
    """Return whether an example has more right answers than one."""
    return any(e.accepted for e in all_examples(task))
