"""How much each method's score depends on which demonstrations it is given: the spread over support sets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from eval.cells import Cell
from eval.report.summary import Row


@dataclass(frozen=True)
class Sensitivity:
    """The spread of one method's scores over the support sets of a task, in points.

    Attributes:
        row: the method.
        deviations: of each cell from the mean of its task.
        typical: the standard deviation over support sets, pooled over tasks.
        widest: the task whose support sets differ most.
        low, high: its lowest and highest score.
    """

    row: Row
    deviations: Sequence[float]
    typical: float
    widest: str
    low: float
    high: float


def sensitivities(made: Sequence[Row]) -> list[Sensitivity]:
    """Return the spread of each method that has a task with two support sets or more."""
    return [found for row in made if (found := _sensitivity(row))]


def _sensitivity(row: Row) -> Sensitivity | None:
    several = {task: values for task, values in _by_task(row.cells).items() if len(values) > 1}
    if not several:
        return None
    deviations = [value - fmean(values) for values in several.values() for value in values]
    freedom = sum(len(values) - 1 for values in several.values())
    typical = math.sqrt(sum(d * d for d in deviations) / freedom)
    widest = max(several, key=lambda task: max(several[task]) - min(several[task]))
    return Sensitivity(row, deviations, typical, widest, min(several[widest]), max(several[widest]))


def _by_task(cells: Sequence[Cell]) -> dict[str, list[float]]:
    """Return the points of each support set by task; trainings of one recipe are averaged, since they share it."""
    found: dict[str, dict[object, list[float]]] = {}
    for cell in cells:
        found.setdefault(cell.task, {}).setdefault(cell.seed, []).append(100 * cell.score)
    return {task: [fmean(values) for values in seeds.values()] for task, seeds in found.items()}
