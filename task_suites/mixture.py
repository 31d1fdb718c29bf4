"""Several suites as one: their sides are joined, and no suite is trained on what another one holds out."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from itertools import combinations

from task_suites.core.errors import UserError, counted
from task_suites.splits import origins, own_names
from task_suites.task import META_SPLITS, Task, TaskSuite

SHOWN = 5  # names of tasks that an error lists for each side
Sides = dict[str, list[Task]]  # meta-split -> tasks


def merge(suites: Mapping[str, TaskSuite], allow: Iterable[str] = ()) -> TaskSuite:
    """Return the tasks of several suites as one suite, the tasks of each meta-split together.

    The result does not depend on the order of the suites. A suite by itself keeps its name, tasks and sides.

    Args:
        suites: the suites by the names that they were opened by. Each task remembers the name, and errors show it.
        allow: sources, families or tasks that may be on two sides.

    Raises:
        UserError: two suites have a task of one name, or share a source or a family across two sides.
    """
    suites = dict(sorted(suites.items(), key=lambda item: (item[1].name, item[0])))
    tasks: dict[str, Task] = {}
    for name, suite in suites.items():
        _refuse_clashes(tasks, suite.tasks, name)
        tasks |= {task.name: task if task.suite == name else task.replace(suite=name) for task in suite.tasks.values()}
    sides = {
        side: [tasks[name] for suite in suites.values() for name in suite.splits.get(side, ())]
        for side in META_SPLITS
        if any(side in suite.splits for suite in suites.values())
    }
    own = {name: own_names(suite) for name, suite in suites.items()}
    _refuse_shared(sides, own, {name.casefold() for name in allow})
    tasks |= {task.name: task for task in _families_apart(sides)}
    return TaskSuite(
        "+".join(suite.name for suite in suites.values()),
        tasks,
        {side: tuple(task.name for task in members) for side, members in sides.items()},
        " ".join(suite.description for suite in suites.values() if suite.description),
    )


def _refuse_clashes(tasks: Mapping[str, Task], more: Iterable[str], suite: str) -> None:
    """Raise where a suite has a task of a name that a task of another suite has."""
    if clashes := [name for name in more if name in tasks]:
        shown = [f"{name} in {tasks[name].suite} and in {suite}" for name in clashes[:SHOWN]]
        raise UserError(
            f"two suites share the {'name' if len(clashes) == 1 else 'names'} of {counted(len(clashes), 'task')}",
            found="; ".join(shown) + ("; ..." if len(clashes) > SHOWN else ""),
            expected="a name of its own for each task",
            fix="Leave one of each pair out: --exclude " + " ".join(shlex.quote(f"{suite}/{name}") for name in clashes),
        )


def _refuse_shared(sides: Sides, own: Mapping[str, set[str]], allowed: set[str]) -> None:
    """Raise where a source or family is on one side in one suite and on another side in another suite.

    Args:
        own: names, for each suite, that say that a task was made for it and is of no data set.
        allowed: sources, families and tasks that may be on two sides.
    """
    found: dict[str, Sides] = {}
    for side, tasks in sides.items():
        for task in tasks:
            if task.name.casefold() in allowed:
                continue
            for origin in origins(task, own[task.suite] | allowed):
                found.setdefault(origin, {}).setdefault(side, []).append(task)
    for origin, sides_of in sorted(found.items()):
        places = [(side, task.suite) for side, tasks in sides_of.items() for task in tasks]
        if any(a[0] != b[0] and a[1] != b[1] for a, b in combinations(dict.fromkeys(places), 2)):
            train = sides_of.get("meta_train") or min(sides_of.values(), key=len)
            raise UserError(
                f"the suites share the source or family {origin!r} across two sides of the meta-split",
                found="; ".join(f"{side}: {_listed(tasks)}" for side, tasks in sides_of.items()),
                expected="each source and family on one side",
                fix=f"Leave tasks out: --exclude {' '.join(shlex.quote(task.name) for task in train)}, "
                f"or allow it: --allow {shlex.quote(origin)}",
            )


def _listed(tasks: list[Task]) -> str:
    shown = [f"{task.name} of {task.suite}" for task in tasks[:SHOWN]]
    return ", ".join(shown) + (", ..." if len(tasks) > SHOWN else "")


def _families_apart(sides: Sides) -> Iterable[Task]:
    """Return the tasks of each family that is allowed on two sides, as a family of its own for each side."""
    homes: dict[str, set[str]] = {}
    for side, tasks in sides.items():
        for task in tasks:
            homes.setdefault(task.family, set()).add(side)
    for side, tasks in sides.items():
        for task in tasks:
            if task.family and len(homes[task.family]) > 1:
                yield task.replace(family=f"{task.family} ({side})")
