"""The built-in suite: families of tasks that ship inside the package (`task_suites.embedded`)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from task_suites.embedded.family_files import FOLDER, read_families
from task_suites.task import META_SPLITS, TaskSuite

NAME = "embedded"


@cache
def open_embedded(folder: Path = FOLDER) -> TaskSuite:
    """Return the suite "embedded": eight families for meta-training, two for meta-validation, four for meta-testing.

    Opening it draws no example; a task draws its 320 train and 160 test examples when they are first requested, once
    in a process, and they are the same on every machine.

    Args:
        folder: where the files of the families are.

    Raises:
        UserError: see `task_suites.embedded.family_files.read_families`.
    """
    families = read_families(folder)
    tasks = {family.name: [task.replace(suite=NAME) for task in family.tasks()] for family in families}
    return TaskSuite(
        name=NAME,
        tasks={task.name: task for group in tasks.values() for task in group},
        splits={
            split: tuple(task.name for family in families if family.side == split for task in tasks[family.name])
            for split in META_SPLITS
        },
        description="Small worlds in generated English: six types of task, from classification to generation.",
    )
