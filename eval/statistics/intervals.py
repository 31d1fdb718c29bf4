"""Means and paired gains with intervals that cover as often as they say.

What is sampled is tasks (do the numbers carry over to other tasks?), and in each task support sets with their queries,
by seed. A task's mean over its seeds holds both, and the tasks' means are independent draws of one distribution; so the
interval is Student's t interval on the tasks' means. It covers 95 % for 6 tasks as for 60, where percentile and BCa
bootstrap intervals over tasks cover 86 to 91 % for 6 (`benchmarks/coverage.py` measures it). Seeds are nested in tasks:
the same seed draws unrelated demonstrations in two tasks.

Trainings are crossed with tasks: one training answers all of them. Where several trainings of one recipe are put
together as one method, the variance of its mean has the trainings' part too, which Satterthwaite's formula joins to
that of tasks (Satterthwaite 1946, doi 10.2307/3002019).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.statistics.tables import (
    Cell,
    Points,
    Table,
    differences,
    generator,
    mean,
    order,
    pairs,
    points,
    run_means,
    table,
    task_averages,
)
from task_suites.core.errors import UserError

LEVEL = 0.95
RESAMPLES = 10_000  # sign flips, where they are too many to enumerate
TIE = 1e-9  # points; below it a task counts as a tie
Part = tuple[float, float]  # a part of a mean's variance, and its degrees of freedom


@dataclass(frozen=True)
class Interval:
    """A mean in points with the ends of its 95 % interval; the ends are NaN where one number says nothing of others."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        ends = "no interval" if math.isnan(self.low) else f"{_plain(self.low)}, {_plain(self.high)}"
        return f"{_plain(self.mean)} [{ends}]"


@dataclass(frozen=True)
class Gain(Interval):
    """The paired difference of two methods, first minus second, in points.

    Attributes:
        p: two-sided p-value of the sign-flip test (see `gain_interval`).
        wins, ties, losses: tasks on which the first method's mean over seeds is higher, equal, lower.
        worst_seed: the seed with the lowest mean gain over tasks (the smallest such seed).
        worst_gain: that mean gain.
        tasks: tasks compared.
        cells: (task, seed) pairs compared.
    """

    p: float
    wins: int
    ties: int
    losses: int
    worst_seed: Any
    worst_gain: float
    tasks: int
    cells: int


def mean_interval(cells: Iterable[Cell]) -> Interval:
    """Return the mean over tasks of the mean over seeds, with its 95 % t interval over tasks, in points.

    With one task only, the interval is over seeds only and says nothing about other tasks. With one task and one seed
    both ends are NaN. Each task weighs the same however many seeds it has. The ends are kept within 0 and 100.

    Args:
        cells: the cells of one method at one k, of one or several runs.

    Raises:
        UserError: no cells, two cells of one (task, seed, run), a score outside [0, 1].
    """
    found = points(cells)
    return _interval(table(found), [found], 0.0)


def gain_interval(cells_a: Iterable[Cell], cells_b: Iterable[Cell], common: bool = False, name: str = "gain") -> Gain:
    """Return how much higher `cells_a` score than `cells_b`, paired on (task, seed), in points.

    The interval is that of `mean_interval` on the differences. The p-value is that of a sign-flip permutation
    test at the task level (`scipy.stats.permutation_test` on each task's mean difference): under the hypothesis that
    the two methods do equally well each task's difference is as likely to have either sign. It is exact up to 13 tasks
    and estimated from 10,000 flips above. Wilcoxon's signed-rank test makes the same assumption but tests ranks, drops
    ties and approximates; the mean is what is reported, so the mean is tested. With T tasks no p can be below 2^(1-T):
    five tasks cannot reach 0.05. With one task only, both interval and test are over seeds only.

    Args:
        cells_a, cells_b: the cells of one method at one k each.
        common: compare on the (task, seed) pairs that both sides have; otherwise an unpaired cell is an error.
        name: what the generator of the flips is seeded by.

    Raises:
        UserError: a cell without its partner (named) unless `common`; nothing to pair; what `mean_interval` raises.
    """
    a, b = points(cells_a), points(cells_b)
    keys_a, keys_b = set(pairs(table(a))), set(pairs(table(b)))
    if not common and keys_a != keys_b:
        raise _unpaired(keys_a - keys_b, keys_b - keys_a)
    if not keys_a & keys_b:
        raise UserError("the two sides have no (task, seed) in common", expected="at least one pair")
    found = differences(a, b)
    shared = [{key: value for key, value in side.items() if key[:2] in keys_a & keys_b} for side in (a, b)]
    interval = _interval(found, shared, -100.0)
    means = task_averages(found)
    worst_gain, worst_seed = _worst(found)
    wins, losses = sum(m > TIE for m in means), sum(m < -TIE for m in means)
    return Gain(
        mean=interval.mean,
        low=interval.low,
        high=interval.high,
        p=sign_flip(means if len(means) > 1 else list(next(iter(found.values())).values()), name),
        wins=wins,
        ties=len(means) - wins - losses,
        losses=losses,
        worst_seed=worst_seed,
        worst_gain=worst_gain,
        tasks=len(found),
        cells=len(keys_a & keys_b),
    )


def worst_seed(cells: Iterable[Cell]) -> tuple[Any, float]:
    """Return (seed, points): the seed with the lowest mean over its tasks, for the cells of one method at one k.

    Raises:
        UserError: what `mean_interval` raises.
    """
    value, seed = _worst(table(points(cells)))
    return seed, value


def task_means(cells: Iterable[Cell]) -> dict[str, Interval]:
    """Return each task's mean over seeds in points, with the lowest and the highest seed as ends (no interval).

    Raises:
        UserError: what `mean_interval` raises.
    """
    found = table(points(cells))
    return {t: Interval(mean(s.values()), min(s.values()), max(s.values())) for t, s in found.items()}


def sign_flip(values: Sequence[float], name: str) -> float:
    """Return the two-sided p-value of a mean difference of zero when each difference may have had either sign."""
    from scipy.stats import permutation_test

    data = np.array(values)
    if len(data) < 2 or np.all(np.abs(data) <= TIE):  # one difference may have had either sign: p is 1
        return 1.0
    result = permutation_test(
        (data,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        alternative="two-sided",
        rng=generator(f"sign flip/{name}"),
    )
    return float(result.pvalue)


def _interval(of: Table, sides: Sequence[Points], least: float) -> Interval:
    """Return the t interval on the means of tasks (of seeds, where there is one task), within `least` to 100.

    Args:
        of: what the mean is of.
        sides: the cells of the method, or of both methods of a difference; their runs add to the variance.
    """
    means = task_averages(of)
    middle = mean(means)
    values = np.array(means if len(means) > 1 else list(next(iter(of.values())).values()))
    parts = [_run_part(side) for side in sides]
    if len(values) > 1:
        parts.append((float(values.var(ddof=1)) / len(values), len(values) - 1))
    known = [part for part in parts if part is not None]
    if not known:
        return Interval(middle, math.nan, math.nan)
    half = _half_width(known)
    return Interval(middle, max(least, middle - half), min(100.0, middle + half))


def _half_width(parts: Sequence[Part]) -> float:
    """Return half of the interval of a mean whose variance is the sum of parts (Satterthwaite's degrees of freedom)."""
    from scipy.stats import t

    total = math.fsum(variance for variance, _ in parts)
    if total == 0:
        return 0.0
    freedom = 1 / math.fsum((variance / total) ** 2 / freedom for variance, freedom in parts)
    return float(t.ppf((1 + LEVEL) / 2, freedom)) * math.sqrt(total)


def _run_part(side: Points) -> Part | None:
    """Return what trainings add to the variance of a mean; None where there is one run, or no task that all runs have.

    Of R runs' means over tasks, the variance over R, less what the tasks' part has of it already: the interaction of
    tasks and runs.
    """
    means = run_means(side)
    tasks, runs = means.shape
    if runs < 2 or not tasks:
        return None
    variance = float(means.mean(axis=0).var(ddof=1)) / runs
    if tasks > 1:
        rest = means - means.mean(axis=0) - means.mean(axis=1, keepdims=True) + means.mean()
        variance -= float(np.square(rest).sum()) / ((tasks - 1) * (runs - 1)) / (tasks * runs)
    return max(0.0, variance), runs - 1


def _worst(of: Table) -> tuple[float, Any]:
    """Return (mean over tasks, seed) of the seed with the lowest mean."""
    by_seed: dict[Any, list[float]] = {}
    for task, seed in pairs(of):
        by_seed.setdefault(seed, []).append(of[task][seed])
    seed = min(by_seed, key=lambda s: (mean(by_seed[s]), order(("", s))))
    return mean(by_seed[seed]), seed


def _unpaired(only_a: set[tuple[str, Any]], only_b: set[tuple[str, Any]]) -> UserError:
    def names(keys: set[tuple[str, Any]]) -> str:
        shown = [f"({task}, {seed})" for task, seed in sorted(keys, key=order)]
        return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")

    sides = [f"{names(only_a)} only in the first"] if only_a else []
    sides += [f"{names(only_b)} only in the second"] if only_b else []
    return UserError(
        "some (task, seed) are on one side only",
        found="; ".join(sides),
        expected="the same tasks and seeds on both sides",
        fix="Evaluate the missing cells, or compare only the shared cells (common=True).",
    )


def _plain(value: float) -> str:
    """Return it with one decimal, and no minus before a rounded zero."""
    return f"{round(value, 1) + 0.0:.1f}"
