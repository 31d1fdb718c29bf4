"""Intervals, tests and counts for scores on tasks and seeds.

A *cell* is one evaluation on one task with one seed, its score in [0, 1]. The functions here take the cells of one
method at one k (two lists for a comparison) and answer in points, 100 x score.

What is sampled is tasks first (do the numbers carry over to other tasks?) and seeds second (to other draws of the
demonstrations?), so the bootstrap draws tasks with replacement and, inside each task drawn, its seeds with replacement
(the two-stage cluster bootstrap; Davison & Hinkley 1997, section 3.8). Pooling all cells as if they were independent
would give intervals that are too narrow as soon as tasks differ. Seeds count as nested in tasks: an influence that one
seed has on all tasks at once, such as that of a training run, is not in the interval; look at the worst seed for it.
All randomness comes from a generator seeded by a name, and cells are sorted first: the same cells in any order give the
same numbers.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from task_suites.core.errors import UserError

RESAMPLES = 10_000
TIE = 1e-9  # points; below it a task counts as a tie
_CHUNK = 4_000_000  # numbers held at once while resampling, 32 MB

Table = dict[str, dict[Any, float]]  # task -> seed -> points


class Cell(Protocol):
    """What is needed of a cell (`eval.results.Cell` has it)."""

    @property
    def task(self) -> str: ...

    @property
    def seed(self) -> Any: ...

    @property
    def score(self) -> float: ...


@dataclass(frozen=True)
class Interval:
    """A mean in points with the ends of its 95 % interval; the ends are NaN where there was nothing to resample."""

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


def mean_interval(cells: Iterable[Cell], name: str = "mean") -> Interval:
    """Return the mean over tasks of the mean over seeds, with a 95 % percentile bootstrap interval, in points.

    Tasks are drawn with replacement, then seeds inside each task drawn; 10,000 resamples. With one task only, the
    interval is over seeds only and says nothing about other tasks. With one task and one seed there is nothing to
    resample, and both ends are NaN. Each task weighs the same however many seeds it has.

    Args:
        cells: the cells of one method at one k.
        name: what the generator is seeded by.

    Raises:
        UserError: no cells, two cells of one (task, seed), a score outside [0, 1].
    """
    return _bootstrap(_points(cells), name)


def gain_interval(cells_a: Iterable[Cell], cells_b: Iterable[Cell], common: bool = False, name: str = "gain") -> Gain:
    """Return how much higher `cells_a` score than `cells_b`, paired on (task, seed), in points.

    The interval is the bootstrap of `mean_interval` on the differences. The p-value is that of a sign-flip permutation
    test at the task level (`scipy.stats.permutation_test` on each task's mean difference): under the hypothesis that
    the two methods do equally well each task's difference is as likely to have either sign. It is exact up to 13 tasks
    and estimated from 10,000 flips above. Wilcoxon's signed-rank test makes the same assumption but tests ranks, drops
    ties and approximates; the mean is what is reported, so the mean is tested. With T tasks no p can be below 2^(1-T):
    five tasks cannot reach 0.05. With one task only, both interval and test are over seeds only.

    Args:
        cells_a, cells_b: the cells of one method at one k each.
        common: compare on the (task, seed) pairs that both sides have; otherwise an unpaired cell is an error.
        name: what the generators are seeded by.

    Raises:
        UserError: a cell without its partner (named) unless `common`; nothing to pair; what `mean_interval` raises.
    """
    a, b = _points(cells_a), _points(cells_b)
    keys_a, keys_b = set(_keys(a)), set(_keys(b))
    if not common and keys_a != keys_b:
        raise _unpaired(keys_a - keys_b, keys_b - keys_a)
    if not keys_a & keys_b:
        raise UserError("the two sides share no (task, seed)", expected="at least one pair")
    table: Table = {}
    for task, seed in sorted(keys_a & keys_b, key=_order):
        table.setdefault(task, {})[seed] = a[task][seed] - b[task][seed]
    interval = _bootstrap(table, name)
    means = [_mean(seeds.values()) for seeds in table.values()]
    worst_gain, worst_seed = _worst(table)
    wins, losses = sum(m > TIE for m in means), sum(m < -TIE for m in means)
    return Gain(
        mean=interval.mean,
        low=interval.low,
        high=interval.high,
        p=_sign_flip(means if len(means) > 1 else list(next(iter(table.values())).values()), name),
        wins=wins,
        ties=len(means) - wins - losses,
        losses=losses,
        worst_seed=worst_seed,
        worst_gain=worst_gain,
        tasks=len(table),
        cells=len(keys_a & keys_b),
    )


def worst_seed(cells: Iterable[Cell]) -> tuple[Any, float]:
    """Return (seed, points): the seed with the lowest mean over its tasks, for the cells of one method at one k.

    Raises:
        UserError: what `mean_interval` raises.
    """
    value, seed = _worst(_points(cells))
    return seed, value


def task_means(cells: Iterable[Cell]) -> dict[str, Interval]:
    """For each task the mean over seeds in points, with the lowest and the highest seed as ends (not an interval).

    Raises:
        UserError: what `mean_interval` raises.
    """
    table = _points(cells)
    return {t: Interval(_mean(s.values()), min(s.values()), max(s.values())) for t, s in table.items()}


def _plain(value: float) -> str:
    """One decimal, and no minus before a rounded zero."""
    return f"{round(value, 1) + 0.0:.1f}"


def _points(cells: Iterable[Cell]) -> Table:
    """Cells as a table of points, sorted, checked."""
    found: dict[tuple[str, Any], float] = {}
    for cell in cells:
        key, value = (str(cell.task), cell.seed), cell.score
        if key in found:
            raise UserError(
                f"task {key[0]}, seed {key[1]} has several cells",
                expected="the cells of one method at one k",
                fix="Select by method and k first.",
            )
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            where = f"task {key[0]}, seed {key[1]}"
            raise UserError("bad score", where=where, found=repr(value), expected="a number in [0, 1]")
        found[key] = 100.0 * value
    if not found:
        raise UserError("no cells", expected="at least one")
    table: Table = {}
    for task, seed in sorted(found, key=_order):
        table.setdefault(task, {})[seed] = found[task, seed]
    return table


def _order(key: tuple[str, Any]) -> tuple[str, bool, Any]:
    """Sorts by task, then by seed: numbers by size, before anything else by its text."""
    task, seed = key
    return (task, False, seed) if isinstance(seed, int) else (task, True, str(seed))


def _keys(table: Table) -> Iterator[tuple[str, Any]]:
    return ((task, seed) for task, seeds in table.items() for seed in seeds)


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return math.fsum(values) / len(values)


def _worst(table: Table) -> tuple[float, Any]:
    """Return (mean over tasks, seed) of the seed with the lowest mean."""
    by_seed: dict[Any, list[float]] = {}
    for task, seed in _keys(table):
        by_seed.setdefault(seed, []).append(table[task][seed])
    seed = min(by_seed, key=lambda s: (_mean(by_seed[s]), _order(("", s))))
    return _mean(by_seed[seed]), seed


def _unpaired(only_a: set[tuple[str, Any]], only_b: set[tuple[str, Any]]) -> UserError:
    def names(keys: set[tuple[str, Any]]) -> str:
        shown = [f"({task}, {seed})" for task, seed in sorted(keys, key=_order)]
        return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")

    sides = [f"{names(only_a)} only in the first"] if only_a else []
    sides += [f"{names(only_b)} only in the second"] if only_b else []
    return UserError(
        "the two sides lack partners for some (task, seed)",
        found="; ".join(sides),
        expected="the same tasks and seeds on both sides",
        fix="Evaluate the missing cells, or compare only the shared cells (common=True).",
    )


def generator(name: str) -> np.random.Generator:
    """Return a generator seeded by a name."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))


def _bootstrap(table: Table, name: str) -> Interval:
    """Return the mean of task means with the 2.5 and 97.5 % percentiles of its two-stage resamples."""
    rows = [list(seeds.values()) for seeds in table.values()]
    mean = _mean(_mean(row) for row in rows)
    if len(rows) == len(rows[0]) == 1:
        return Interval(mean, math.nan, math.nan)
    counts = np.array([len(row) for row in rows])
    values = np.zeros((len(rows), counts.max()))
    for index, row in enumerate(rows):
        values[index, : len(row)] = row
    rng = generator(f"bootstrap/{name}")
    step = max(1, _CHUNK // values.size)
    sizes = [min(step, RESAMPLES - done) for done in range(0, RESAMPLES, step)]
    means = np.concatenate([_resample(values, counts, size, rng) for size in sizes])
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(mean, float(low), float(high))


def _resample(values: np.ndarray, counts: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """`[size]` resampled means. `values`: `[tasks, most seeds]`, of which the first `counts[task]` are filled."""
    tasks, seeds = values.shape
    drawn = rng.integers(tasks, size=(size, tasks))
    filled = counts[drawn][..., None]  # [size, tasks, 1]
    picks = (rng.random((size, tasks, seeds)) * filled).astype(np.intp)
    kept = np.arange(seeds) < filled
    sums = np.where(kept, values[drawn[..., None], picks], 0.0).sum(axis=2)
    return np.asarray((sums / filled[..., 0]).mean(axis=1))


def _sign_flip(differences: Sequence[float], name: str) -> float:
    """Two-sided p-value of a mean difference of zero when each difference may have had either sign."""
    from scipy.stats import permutation_test

    data = np.array(differences)
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
