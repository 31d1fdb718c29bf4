"""Splits made by a rule: by shares of the tasks, or as folds of a nested cross-validation.

A split made by a rule is a pure function of the tasks' names and a seed. Tasks of one source or family are never on
two sides, by whatever key a split is made, unless the user allows that source by name.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from task_suites.core.components import components
from task_suites.core.errors import UserError, counted, nearest
from task_suites.splits import Split, origins, own_names
from task_suites.task import META_SPLITS, Task, TaskSuite

FINER = "Group by something finer, such as by=task, or divide into fewer."

By = Literal["task", "source", "family", "domain"]
KEYS: dict[str, Callable[[Task], str]] = {
    "task": lambda task: task.name,
    "source": lambda task: task.source or task.name,
    "family": lambda task: task.family or task.name,
    "domain": lambda task: task.domain or task.name,
}


def divide(
    tasks: TaskSuite | Iterable[Task],
    by: By = "family",
    shares: Mapping[str, float] | None = None,
    seed: int = 0,
    allow: Iterable[str] = (),
) -> Split:
    """Return groups of tasks, in an order drawn by `seed`, cut by `shares` of the number of tasks.

    Args:
        tasks: a suite's or any, in any order; the result does not depend on it. A source that has the suite's own name
            says that its tasks were made for it, and ties none together.
        by: what a group is: tasks of one source, family or domain, or each task by itself.
        shares: meta-split -> its share, by default 0.7, 0.1 and 0.2; a side with a share gets at least one group.
        seed: seeds the order of the groups.
        allow: sources (or families) whose tasks may be on different sides.

    Raises:
        UserError: an unknown key or side, shares that do not add up to 1, or fewer groups than sides.
    """
    shares = {"meta_train": 0.7, "meta_validation": 0.1, "meta_test": 0.2} if shares is None else dict(shares)
    _check_shares(shares)
    wanted = [side for side in META_SPLITS if shares.get(side, 0) > 0]
    groups = _shuffled(grouped(tasks, by, allow), seed, "divide")
    if len(groups) < len(wanted):
        raise UserError(
            f"grouped by {by}, the tasks are {counted(len(groups), 'group')}",
            expected=f"at least one for each of {', '.join(wanted)}",
            fix=FINER,
        )
    total, taken, sides = sum(map(len, groups)), 0, dict[str, list[str]]()
    bound = 0.0
    for number, side in enumerate(wanted):
        bound += shares[side]
        left = len(wanted) - number - 1  # sides that want a group too
        members: list[str] = []
        while (
            groups and len(groups) > left and (not members or not left or taken + len(groups[0]) / 2 <= bound * total)
        ):
            group = groups.pop(0)
            taken += len(group)
            members += group
        sides[side] = members
    return _split(f"by_{by}_{seed}", *(sides.get(side, []) for side in META_SPLITS))


def _check_shares(shares: Mapping[str, float]) -> None:
    if unknown := set(shares) - set(META_SPLITS):
        raise UserError(f"unknown meta-split {min(unknown)!r}", fix=nearest(min(unknown), META_SPLITS))
    if min(shares.values(), default=0) < 0 or not math.isclose(sum(shares.values()), 1):
        raise UserError("the shares of the sides must be 0 or more and add up to 1", found=shares)


def nested(
    tasks: TaskSuite | Iterable[Task],
    outer: int = 5,
    inner: int = 4,
    by: By = "family",
    seed: int = 0,
    allow: Iterable[str] = (),
) -> list[Split]:
    """Nested cross-validation over tasks: outer * inner splits, named ``fold1-1`` to ``fold5-4``.

    Each task is in meta_test in one outer fold; within an outer fold, each of its other tasks is in meta_validation in
    one inner fold. Choose on the inner folds, report on the outer ones (Varma and Simon 2006).

    Raises:
        UserError: fewer than 2 folds, or fewer groups of tasks than folds need.
    """
    if outer < 2 or inner < 2:
        raise UserError(f"there must be at least 2 outer and 2 inner folds, but outer is {outer} and inner is {inner}")
    groups = _shuffled(grouped(tasks, by, allow), seed, "outer")
    tests = _dealt(groups, outer)
    splits = []
    for i, test in enumerate(tests, 1):
        rest = _shuffled([group for group in groups if group not in test], seed, f"inner {i}")
        if not test or len(rest) < inner:
            raise UserError(
                f"grouped by {by}, the tasks are {counted(len(groups), 'group')}",
                expected=f"at least one for each of {outer} outer folds, and {inner} among the others",
                fix=FINER,
            )
        for j, validation in enumerate(_dealt(rest, inner), 1):
            train = [group for group in rest if group not in validation]
            sides = ([name for group in part for name in group] for part in (train, validation, test))
            splits.append(_split(f"fold{i}-{j}", *sides))
    return splits


def grouped(tasks: TaskSuite | Iterable[Task], by: By, allow: Iterable[str] = ()) -> list[list[str]]:
    """Return names of tasks that stay together, sorted: those of one key, and all that a shared source or family ties
    to them.

    Raises:
        UserError: an unknown key.
    """
    if by not in KEYS:
        raise UserError(f"tasks cannot be grouped by {by!r}", fix=nearest(by, KEYS))
    allowed = {name.casefold() for name in allow}
    if isinstance(tasks, TaskSuite):
        allowed |= own_names(tasks)
        tasks = tasks.tasks.values()
    pairs: list[tuple[str, str]] = []
    for task in tasks:
        ties = [f"{by} {KEYS[by](task)}"]
        ties += [f"origin {origin}" for origin in origins(task, allowed)]
        if by in ("source", "family") and KEYS[by](task).casefold() in allowed:
            ties[0] = f"task {task.name}"
        pairs += [(f"name {task.name}", tie) for tie in ties]
    found: dict[str, list[str]] = {}
    for node, group in sorted(components(pairs).items()):
        if node.startswith("name "):
            found.setdefault(group, []).append(node.removeprefix("name "))
    return sorted(found.values())


def _split(name: str, train: list[str], validation: list[str], test: list[str]) -> Split:
    return Split(name, tuple(sorted(train)), tuple(sorted(validation)), tuple(sorted(test)))


def _shuffled(groups: list[list[str]], seed: int, purpose: str) -> list[list[str]]:
    """In the order of a hash of seed, purpose and first name."""
    return sorted(groups, key=lambda g: hashlib.sha256(f"{seed}/{purpose}/{g[0]}".encode()).digest())


def _dealt(groups: Sequence[list[str]], folds: int) -> list[list[list[str]]]:
    """Return the groups over folds, each to the fold that has the fewest tasks yet."""
    hands: list[list[list[str]]] = [[] for _ in range(folds)]
    for group in groups:
        min(hands, key=lambda hand: (sum(map(len, hand)), hands.index(hand))).append(group)
    return hands
