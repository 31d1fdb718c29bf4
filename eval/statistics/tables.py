"""Cells as tables of points: checked, sorted, by task and seed.

A *cell* is one evaluation on one task with one seed, its score in [0, 1]; tables hold points, 100 x score. Where
several trainings of one recipe are put together as one method, its cells have a run too. Cells are sorted first, and
all randomness comes from a generator seeded by a name: the same cells in any order give the same numbers.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np

from task_suites.core.errors import UserError

Key = tuple[str, Any, str]  # task, seed, run
Points = dict[Key, float]  # sorted by key
Table = dict[str, dict[Any, float]]  # task -> seed -> points, the mean over runs


class Cell(Protocol):
    """What is needed of a cell (`eval.cells.Cell` has it)."""

    @property
    def task(self) -> str: ...

    @property
    def seed(self) -> Any: ...

    @property
    def run(self) -> str | None: ...

    @property
    def score(self) -> float: ...


def points(cells: Iterable[Cell]) -> Points:
    """Return the points of the cells of one method at one k.

    Raises:
        UserError: no cells, two cells of one (task, seed, run), a score outside [0, 1].
    """
    found: Points = {}
    for cell in cells:
        key, value = (str(cell.task), cell.seed, cell.run or ""), cell.score
        where = f"task {key[0]}, seed {key[1]}" + (f", run {cell.run}" if cell.run else "")
        if key in found:
            raise UserError(
                f"{where} has several cells",
                expected="the cells of one method at one k",
                fix="Select by method and k first.",
            )
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            raise UserError("the score must be a number from 0 to 1", where=where, found=repr(value))
        found[key] = 100.0 * value
    if not found:
        raise UserError("there are no cells", expected="at least one")
    return {key: found[key] for key in sorted(found, key=_order_of_key)}


def table(found: Points) -> Table:
    """Return the points by task and seed, each the mean over its runs."""
    values: dict[str, dict[Any, list[float]]] = {}
    for (task, seed, _), value in found.items():
        values.setdefault(task, {}).setdefault(seed, []).append(value)
    return {task: {seed: mean(each) for seed, each in seeds.items()} for task, seeds in values.items()}


def run_means(found: Points) -> np.ndarray:
    """Return the means over seeds `[tasks, runs]`, of the tasks that all runs have."""
    values: dict[tuple[str, str], list[float]] = {}
    for (task, _, run), value in found.items():
        values.setdefault((task, run), []).append(value)
    runs = sorted({run for _, run in values})
    tasks = [task for task in dict.fromkeys(t for t, _ in values) if all((task, run) in values for run in runs)]
    return np.array([[mean(values[task, run]) for run in runs] for task in tasks]).reshape(len(tasks), len(runs))


def differences(a: Points, b: Points) -> Table:
    """Return the first minus second on the (task, seed) pairs that both have, by task and seed."""
    first, second = table(a), table(b)
    shared = sorted(set(pairs(first)) & set(pairs(second)), key=order)
    found: Table = {}
    for task, seed in shared:
        found.setdefault(task, {})[seed] = first[task][seed] - second[task][seed]
    return found


def task_averages(of: Table) -> list[float]:
    """Return the mean over seeds of each task."""
    return [mean(seeds.values()) for seeds in of.values()]


def order(pair: tuple[str, Any]) -> tuple[str, bool, Any]:
    """Sort by task, then by seed: numbers by size, before anything else by its text."""
    task, seed = pair
    return (task, False, seed) if isinstance(seed, int) else (task, True, str(seed))


def _order_of_key(key: Key) -> tuple[str, bool, Any, str]:
    return (*order(key[:2]), key[2])


def pairs(of: Table) -> Iterator[tuple[str, Any]]:
    """Yield each (task, seed) of a table."""
    return ((task, seed) for task, seeds in of.items() for seed in seeds)


def mean(values: Iterable[float]) -> float:
    """Return the mean, without rounding errors that depend on the order."""
    values = list(values)
    return math.fsum(values) / len(values)


def generator(name: str) -> np.random.Generator:
    """Return a generator seeded by a name."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))
