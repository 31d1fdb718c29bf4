"""Which tasks are for meta-training, meta-validation and meta-testing, and what two sides have in common.

`task_suites.split_rules` makes a `Split` by a rule, and `task_suites.split_files` reads one from a file of names.
`apply` refuses a split that puts tasks of one source or family on two sides, unless the user allows that source.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from task_suites.core.errors import UserError
from task_suites.metaicl_names import data_set
from task_suites.task import META_SPLITS, Task, TaskSuite


@dataclass(frozen=True)
class Split:
    """Names of tasks on three sides.

    Attributes:
        name: the split's name.
        meta_train, meta_validation, meta_test: the tasks of each side.
        unseen_domain: tasks of meta_test whose domain no task of meta_train has.
        description: where it comes from.
    """

    name: str
    meta_train: tuple[str, ...] = ()
    meta_validation: tuple[str, ...] = ()
    meta_test: tuple[str, ...] = ()
    unseen_domain: tuple[str, ...] = ()
    description: str = ""

    def sides(self) -> dict[str, tuple[str, ...]]:
        return {side: getattr(self, side) for side in META_SPLITS}

    def without(self, names: Collection[str]) -> Split:
        """Return the split without some of its tasks."""
        train, validation, test, unseen = (
            tuple(name for name in members if name not in names)
            for members in (self.meta_train, self.meta_validation, self.meta_test, self.unseen_domain)
        )
        return Split(self.name, train, validation, test, unseen, self.description)


@dataclass(frozen=True)
class Overlap:
    """A task or a source on two sides; `sides` has the tasks of each."""

    what: Literal["task", "source"]
    name: str
    sides: dict[str, tuple[str, ...]]


def sizes(split: Split) -> str:
    """Return how many tasks each side has."""
    return ", ".join(f"{len(names)} {side}" for side, names in split.sides().items() if names)


def overlaps(split: Split, source: Callable[[str], Sequence[str]] | None = None) -> list[Overlap]:
    """Return the tasks, then the sources, that are on two sides.

    Args:
        source: the origins of a task, by its name; without one, the data set that a name of MetaICL's stands for.
    """
    found = []
    for what, of in (("task", lambda name: [name]), ("source", source or (lambda name: [data_set(name)]))):
        places: dict[str, dict[str, list[str]]] = {}
        for side, names in split.sides().items():
            for name in names:
                for key in of(name):
                    places.setdefault(key, {}).setdefault(side, []).append(name)
        for key, sides in places.items():
            if len(sides) > 1:
                found.append(Overlap(what, key, {side: tuple(names) for side, names in sides.items()}))  # type: ignore[arg-type]
    return found


def own_names(suite: TaskSuite) -> set[str]:
    """Return the sources that say that a task was made for the suite and is of no data set: the suite's name, also
    without a split's, and the names of the suites that it was merged from (`task_suites.mixture`)."""
    name = suite.name.casefold()
    base = name.rpartition("/")[0]
    return {name, base, *name.split("+"), *base.split("+")} - {""}


def origins(task: Task, without: Collection[str] = ()) -> list[str]:
    """Return the names by which a task is tied to others: its source and its family, casefolded, without some."""
    named = dict.fromkeys((task.source.casefold(), task.family.casefold()))
    return [name for name in named if name and name not in without]


def apply(suite: TaskSuite, split: Split, allow: Iterable[str] = ()) -> TaskSuite:
    """Return the suite's tasks on the sides of a split; tasks that the split does not name are left out.

    Args:
        allow: sources, families or tasks that may be on two sides. A task on two sides occurs twice, for all but
            meta-training as ``NAME`` and for meta-training as ``NAME@meta_train``.

    Raises:
        UserError: the suite lacks a task, or a task, source or family is on two sides and is not allowed.
    """
    for names in split.sides().values():
        for name in names:
            suite[name]  # an unknown name is an error with its nearest neighbours

    own = own_names(suite)
    allowed = {name.casefold() for name in allow}
    shared = overlaps(split, lambda name: origins(suite[name], own))
    for overlap in shared:
        tied = {overlap.name.casefold(), *(t.casefold() for names in overlap.sides.values() for t in names)}
        if not (overlap.name.casefold() in allowed or (len(tied - {overlap.name.casefold()}) == 1 and tied & allowed)):
            found = "; ".join(f"{side}: {', '.join(names)}" for side, names in overlap.sides.items())
            raise UserError(
                f"split {split.name}: the {overlap.what} {overlap.name!r} is on two sides",
                found=found,
                expected="each source on one side",
                fix=f"Move its tasks to one side, or allow {overlap.name!r} by name.",
            )
    on_two_sides = {name for overlap in shared for names in overlap.sides.values() for name in names}
    tasks: dict[str, Task] = {}
    sides: dict[str, tuple[str, ...]] = {}
    for side, names in reversed(split.sides().items()):  # held-out sides keep the names
        members = []
        for name in names:
            task = suite[name]
            if name in on_two_sides:  # its family may be on two sides; the tasks of each side are one family
                task = task.replace(family=f"{task.family or name} ({side})")
            if name in tasks:
                task = task.replace(name=f"{name}@{side}")
            tasks[task.name] = task
            members.append(task.name)
        sides[side] = tuple(members)
    return replace(suite, name=f"{suite.name}/{split.name}", tasks=tasks, splits=dict(reversed(sides.items())))
