"""Suites made in code, to be merged."""

from __future__ import annotations

from toys import toy_task

from task_suites.example import Example
from task_suites.task import Task, TaskSuite


def suite_of(name: str, side: str = "meta_train", **tasks: str) -> TaskSuite:
    """Return a suite with tasks on one side, each of the source that it is given."""
    made = {task: own(toy_task(task).replace(source=source, family=source), name) for task, source in tasks.items()}
    return TaskSuite(name, made, {side: tuple(made)}, f"about {name}")


def own(task: Task, suite: str) -> Task:
    """Return the task with the names of suite and task in every input."""

    def load(part: str) -> list[Example]:
        return [Example(f"{suite} {task.name} {e.input}", e.output, e.options) for e in task.examples(part)]

    return task.replace(load=load)
