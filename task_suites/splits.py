"""Which tasks are for meta-training, meta-validation and meta-testing: made by a rule, or read from a file of names.

A split made by a rule is a pure function of the tasks' names and a seed. Tasks of one source or family are never
parted, by whatever key a split is made, unless the user names that source as allowed; a split that is given, not made,
and parts them is an error. The settings of MetaICL lie in `task_suites/settings`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from task_suites.core.atomic import check_free, new_folder, write_text
from task_suites.core.components import components
from task_suites.core.errors import UserError, counted, nearest
from task_suites.core.json_files import read_json
from task_suites.sources.metaicl_folder import source_of
from task_suites.task import META_SPLITS, Task, TaskSuite

By = Literal["task", "source", "family", "domain"]
KEYS: dict[str, Callable[[Task], str]] = {
    "task": lambda task: task.name,
    "source": lambda task: task.source or task.name,
    "family": lambda task: task.family or task.name,
    "domain": lambda task: task.domain or task.name,
}
SETTINGS = Path(__file__).parent / "settings"
# Data sets of MetaICL's settings that have two names there.
OTHER_NAMES = {
    "superglue-rte": "glue-rte",
    "winogrande_xl": "wino_grande",
    "social_iqa": "social_i_qa",
    "physical_iqa": "piqa",
    "commonsenseqa": "commonsense_qa",
    "squad1_1": "squad",
    "squad2": "squad",
    "race_string": "race",
    "kilt_hotpotqa": "hotpot_qa",
    "openbookqa_with_ir": "openbookqa",
    "qasc_with_ir": "qasc",
}


@dataclass(frozen=True)
class Split:
    """Names of tasks on three sides.

    Attributes:
        name: of the split.
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


# --- made by a rule ---------------------------------------------------------------------------------------------------


def divide(
    tasks: TaskSuite | Iterable[Task],
    by: By = "family",
    shares: Mapping[str, float] | None = None,
    seed: int = 0,
    allow: Iterable[str] = (),
) -> Split:
    """Groups of tasks, in an order drawn by `seed`, cut by `shares` of the number of tasks.

    Args:
        tasks: a suite's or any, in any order; the result does not depend on it. A source that has the suite's own name
            says that its tasks were made for it, and ties none together.
        by: what a group is: tasks of one source, family or domain, or each task by itself.
        shares: meta-split -> its share, by default 0.7, 0.1 and 0.2; a side with a share gets at least one group.
        seed: of the order.
        allow: sources (or families) whose tasks may be parted.

    Raises:
        UserError: an unknown key or side, shares that do not add up to 1, or fewer groups than sides.
    """
    shares = {"meta_train": 0.7, "meta_validation": 0.1, "meta_test": 0.2} if shares is None else dict(shares)
    if unknown := set(shares) - set(META_SPLITS):
        raise UserError(f"unknown meta-split {min(unknown)!r}", fix=nearest(min(unknown), META_SPLITS))
    if min(shares.values(), default=0) < 0 or not math.isclose(sum(shares.values()), 1):
        raise UserError("shares of the sides", found=shares, expected="numbers from 0 that add up to 1")
    wanted = [side for side in META_SPLITS if shares.get(side, 0) > 0]
    groups = _shuffled(grouped(tasks, by, allow), seed, "divide")
    if len(groups) < len(wanted):
        raise UserError(
            f"{counted(len(groups), 'group')} by {by}", expected=f"at least one for each of {', '.join(wanted)}"
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
        raise UserError("folds", found=f"outer {outer}, inner {inner}", expected="at least 2 of each")
    groups = _shuffled(grouped(tasks, by, allow), seed, "outer")
    tests = _dealt(groups, outer)
    splits = []
    for i, test in enumerate(tests, 1):
        rest = _shuffled([group for group in groups if group not in test], seed, f"inner {i}")
        if not test or len(rest) < inner:
            raise UserError(f"{counted(len(groups), 'group')} by {by}", expected="enough for each fold to have one")
        for j, validation in enumerate(_dealt(rest, inner), 1):
            train = [group for group in rest if group not in validation]
            sides = ([name for group in part for name in group] for part in (train, validation, test))
            splits.append(_split(f"fold{i}-{j}", *sides))
    return splits


def grouped(tasks: TaskSuite | Iterable[Task], by: By, allow: Iterable[str] = ()) -> list[list[str]]:
    """Names of tasks that stay together, sorted: those of one key, and all that a shared source or family ties to them.

    Raises:
        UserError: an unknown key.
    """
    if by not in KEYS:
        raise UserError(f"no split by {by!r}", fix=nearest(by, KEYS))
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
    """The groups over folds, each to the fold that has the fewest tasks yet."""
    hands: list[list[list[str]]] = [[] for _ in range(folds)]
    for group in groups:
        min(hands, key=lambda hand: (sum(map(len, hand)), hands.index(hand))).append(group)
    return hands


# --- given by name ----------------------------------------------------------------------------------------------------


def load_split(name: str | Path) -> Split:
    """A setting of MetaICL by its name, or a split file (JSON: name, meta_train, meta_validation, meta_test, ...).

    Raises:
        UserError: no such setting or file, or one with unknown keys or wrong types.
    """
    known = sorted(path.stem for path in SETTINGS.glob("*.json"))
    path = SETTINGS / f"{name}.json" if str(name) in known else Path(name)
    if not path.is_file():
        raise UserError(f"no split {str(name)!r}", fix=f"{nearest(str(name), known)} Or give a JSON file.")
    row = read_json(path)
    if not isinstance(row, dict):
        raise UserError("not an object", where=path, found=type(row).__name__)
    keys = set(Split.__dataclass_fields__)
    values: dict[str, Any] = {}
    for key, value in row.items():
        if key not in keys:
            raise UserError(f"unknown key {key!r}", where=path, fix=nearest(key, keys))
        texts = key in ("name", "description")
        sound = isinstance(value, str) if texts else isinstance(value, list) and all(isinstance(v, str) for v in value)
        if not sound:
            expected = "text" if texts else "a list of task names"
            raise UserError(f"{key} has a wrong type", where=path, found=repr(value)[:60], expected=expected)
        values[key] = value if texts else tuple(value)
    return Split(**{"name": path.stem, **values})


def save_split(split: Split, path: Path) -> None:
    """The split as a file that `load_split` reads."""
    write_text(path, json.dumps(asdict(split), ensure_ascii=False, indent=1) + "\n")


def write_splits(splits: Sequence[Split], output: Path) -> str:
    """One split as a file, several as files of their names in a new folder; the result says what lies where.

    Raises:
        UserError: the file or folder is there already or cannot be written.
    """
    if len(splits) == 1:
        if output.exists():
            raise UserError("the target is there already", where=output, expected="a new file")
        paths = [output]
        save_split(splits[0], output)
    else:
        check_free(output)
        paths = [output / f"{split.name}.json" for split in splits]
        with new_folder(output) as folder:
            for split, path in zip(splits, paths, strict=True):
                save_split(split, folder / path.name)
    return "\n".join(f"{path}: {sizes(split)}" for split, path in zip(splits, paths, strict=True))


def sizes(split: Split) -> str:
    """How many tasks each side has."""
    return ", ".join(f"{len(names)} {side}" for side, names in split.sides().items() if names)


def overlaps(split: Split, source: Callable[[str], Sequence[str]] | None = None) -> list[Overlap]:
    """Tasks, then sources, that lie on two sides.

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


def data_set(name: str) -> str:
    """The data set behind a task's name in MetaICL's settings, also where it has another name there."""
    name = name.removeprefix("unifiedqa:")
    return OTHER_NAMES.get(name, source_of(OTHER_NAMES.get(source_of(name), name)))


def own_names(suite: TaskSuite) -> set[str]:
    """Return the sources that say that a task was made for the suite and is of no data set: the suite's name, also
    without a split's, and the names of the suites that it was merged from (`task_suites.mixture`)."""
    name = suite.name.casefold()
    base = name.rpartition("/")[0]
    return {name, base, *name.split("+"), *base.split("+")} - {""}


def origins(task: Task, without: Collection[str] = ()) -> list[str]:
    """Return the names by which a task is tied to others: its source and its family, casefolded, but for some names."""
    named = dict.fromkeys((task.source.casefold(), task.family.casefold()))
    return [name for name in named if name and name not in without]


def apply(suite: TaskSuite, split: Split, allow: Iterable[str] = ()) -> TaskSuite:
    """The suite's tasks on the sides of a split; tasks that the split does not name are left out.

    Args:
        allow: sources, families or tasks that may lie on two sides. A task on two sides is there twice, for all but
            meta-training as ``NAME`` and for meta-training as ``NAME@meta_train``.

    Raises:
        UserError: the suite lacks a task, or a task, source or family lies on two sides and is not allowed.
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
                f"split {split.name}: the {overlap.what} {overlap.name!r} lies on two sides",
                found=found,
                expected="each source on one side",
                fix=f"Move its tasks to one side, or allow {overlap.name!r} by name.",
            )
    parted = {name for overlap in shared for names in overlap.sides.values() for name in names}
    tasks: dict[str, Task] = {}
    sides: dict[str, tuple[str, ...]] = {}
    for side, names in reversed(split.sides().items()):  # held-out sides keep the names
        members = []
        for name in names:
            task = suite[name]
            if name in parted:  # its family may stand on two sides; the tasks of each are one
                task = task.replace(family=f"{task.family or name} ({side})")
            if name in tasks:
                task = task.replace(name=f"{name}@{side}")
            tasks[task.name] = task
            members.append(task.name)
        sides[side] = tuple(members)
    return replace(suite, name=f"{suite.name}/{split.name}", tasks=tasks, splits=dict(reversed(sides.items())))
