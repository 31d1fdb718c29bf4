"""The built-in suite: 14 families of tasks that ship inside the package (`task_suites.embedded`)."""

from __future__ import annotations

from functools import cache

from task_suites.embedded import (
    court,
    farm,
    harbour,
    hospital,
    household,
    kitchen,
    library,
    museum,
    office,
    railway,
    school,
    sports,
    travel,
    weather,
)
from task_suites.embedded.generator import Family
from task_suites.task import META_SPLITS, TaskSuite

NAME = "embedded"
FAMILIES: tuple[Family, ...] = tuple(
    module.FAMILY
    for module in (
        household,
        hospital,
        harbour,
        school,
        kitchen,
        farm,
        library,
        office,
        weather,
        museum,
        court,
        travel,
        sports,
        railway,
    )
)


@cache
def open_embedded() -> TaskSuite:
    """The suite "embedded": eight families for meta-training, two for meta-validation, four for meta-testing.

    Opening it draws no example; a task draws its 320 train and 160 test examples when they are first requested, once
    in a process, and they are the same on every machine.
    """
    tasks = {family.name: [task.replace(suite=NAME) for task in family.tasks()] for family in FAMILIES}
    return TaskSuite(
        name=NAME,
        tasks={task.name: task for group in tasks.values() for task in group},
        splits={
            split: tuple(task.name for family in FAMILIES if family.side == split for task in tasks[family.name])
            for split in META_SPLITS
        },
        description="Small worlds in generated English: six types of task, from classification to generation.",
    )
