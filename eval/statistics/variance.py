"""Where the variance of scores comes from, and how many support sets or tasks tell two methods apart.

A cell's score is modelled as a sum of independent effects: of its task, of its training (crossed with tasks, where
several trainings are put together), of task and training together, of its support set in the task (with its order and
its queries, which are drawn together), and of the training on that support set. Their variances follow from the mean
squares of the analysis of variance by the method of moments (Searle, Casella & McCulloch 1992, chapter 4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from eval.statistics.tables import Cell, Points, differences, points
from task_suites.core.errors import UserError

FAR = 100.0  # standard errors; a difference so far from 0 is always found
MOST = 1000  # support sets or tasks; more are not a plan


@dataclass(frozen=True)
class Variance:
    """Parts of the variance of one cell, in squared points; None where the cells do not show a part.

    Attributes:
        task: between tasks.
        support: between support sets of a task, with their order and queries; with one run also what remains.
        run: between trainings, the same on all tasks.
        task_run: between trainings, different on each task.
        rest: between trainings on one support set.
    """

    task: float
    support: float | None = None
    run: float | None = None
    task_run: float | None = None
    rest: float | None = None

    @property
    def shares(self) -> dict[str, float]:
        """Each known part over their sum, the task's first; all 0 where nothing varies."""
        parts = {name: value for name, value in vars(self).items() if value is not None}
        whole = sum(parts.values())
        return {name: value / whole if whole else 0.0 for name, value in parts.items()}


@dataclass(frozen=True)
class Need:
    """What it takes to tell two methods apart by a paired t test over tasks.

    Attributes:
        difference: their true difference, in points.
        power: the wished probability of finding it at 0.05, two-sided.
        seeds: support sets for each of the tasks at hand; None where no number is enough.
        tasks: tasks with the support sets at hand; None where more than 1000 were needed.
    """

    difference: float
    power: float
    seeds: int | None
    tasks: int | None


def variance(cells: Iterable[Cell]) -> Variance | None:
    """Return the parts of the variance of the cells of one method at one k.

    Only seeds that every task and run has take part; a part that would be negative is 0. None where there are fewer
    than two tasks, or no seed that all have.

    Raises:
        UserError: what `mean_interval` raises.
    """
    values = _complete(points(cells))
    return _parts(values) if len(values) > 1 and values.size else None


def needed(cells_a: Iterable[Cell], cells_b: Iterable[Cell], difference: float, power: float = 0.8) -> Need | None:
    """Return how many support sets, or how many tasks, show a difference of two methods as large as `difference`.

    The variances are those of the paired differences at hand; None where fewer than two tasks or seeds show them.

    Raises:
        UserError: a difference of 0, a power outside 0 to 1, or what `mean_interval` raises.
    """
    if not difference or not 0 < power < 1:
        found = f"difference {difference:g}, power {power:g}"
        raise UserError("the difference must not be 0, and the power must be between 0 and 1", found=found)
    paired = differences(points(cells_a), points(cells_b))
    cells = {(task, seed, ""): value for task, seeds in paired.items() for seed, value in seeds.items()}
    values = _complete(cells)
    tasks, seeds, _ = values.shape
    if tasks < 2 or seeds < 2:
        return None
    parts = _parts(values)
    support = parts.support or 0.0

    def reached(number: int, each: int) -> bool:
        return _power(difference, parts.task + support / each, number) >= power

    return Need(
        difference,
        power,
        _least(lambda each: reached(tasks, each), 1),
        _least(lambda number: reached(number, seeds), 2),
    )


def _parts(values: np.ndarray) -> Variance:
    """Return the parts of the variance of values `[tasks, seeds, runs]`."""
    tasks, seeds, runs = values.shape
    by_task, by_run, by_both = values.mean(axis=(1, 2)), values.mean(axis=(0, 1)), values.mean(axis=1)
    task = seeds * runs * by_task.var(ddof=1)
    by_set = values.mean(axis=2)
    within = runs * np.square(by_set - by_task[:, None]).sum() / max(1, tasks * (seeds - 1))
    if runs == 1:
        if seeds == 1:
            return Variance(float(task))
        return Variance(_positive((task - within) / seeds), float(within))
    crossed = by_both - by_task[:, None] - by_run + values.mean()
    both = seeds * np.square(crossed).sum() / ((tasks - 1) * (runs - 1))
    run = tasks * seeds * by_run.var(ddof=1)
    if seeds == 1:  # what belongs to the support set cannot be told from task and training
        return Variance(_positive((task - both) / runs), None, _positive((run - both) / tasks), float(both))
    rest = values - by_set[:, :, None] - by_both[:, None, :] + by_task[:, None, None]
    noise = np.square(rest).sum() / (tasks * (seeds - 1) * (runs - 1))
    return Variance(
        _positive((task - both - within + noise) / (seeds * runs)),
        _positive((within - noise) / runs),
        _positive((run - both) / (tasks * seeds)),
        _positive((both - noise) / seeds),
        float(noise),
    )


def _positive(value: float) -> float:
    return max(0.0, float(value))


def _complete(found: Points) -> np.ndarray:
    """Return the points `[tasks, seeds, runs]` of the seeds that every task and run has."""
    tasks, runs = list(dict.fromkeys(task for task, _, _ in found)), sorted({run for _, _, run in found})
    seeds = [
        seed
        for seed in dict.fromkeys(seed for _, seed, _ in found)
        if all((task, seed, run) in found for task in tasks for run in runs)
    ]
    values = [found[task, seed, run] for task in tasks for seed in seeds for run in runs]
    return np.array(values).reshape(len(tasks), len(seeds), len(runs))


def _power(difference: float, variance: float, tasks: int) -> float:
    """Return the power of the two-sided t test at 0.05 on the differences of this many tasks (noncentral F)."""
    from scipy.stats import f, ncf

    freedom, spread = tasks - 1, float(np.sqrt(variance / tasks))
    away = min(FAR, abs(difference) / spread) if spread else FAR
    return float(ncf.sf(f.ppf(0.95, 1, freedom), 1, freedom, away**2))  # t squared; scipy's nct has gaps


def _least(enough: Callable[[int], bool], low: int) -> int | None:
    """Return the smallest number from `low` on that is enough, by bisection; None where `MOST` is not."""
    high = MOST
    if not enough(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low
