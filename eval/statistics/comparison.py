"""Tests for many methods: one against each of the others, and all by their ranks.

Demšar 2006 (JMLR 7) says which test is for what, Benavoli et al. 2017 (JMLR 18) why a probability of practical
equivalence answers more than a p-value does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from eval.statistics.intervals import Gain, gain_interval
from eval.statistics.tables import Cell, differences, generator, mean, points, table, task_averages
from task_suites.core.errors import UserError

MARGIN = 1.0  # points; a smaller difference makes no difference in practice
SAMPLES = 10_000
PRIOR = 0.5  # weight of the pseudo-observation of no difference, in tasks (Benavoli et al. 2017, section 4.1)


@dataclass(frozen=True)
class Practical:
    """Bayesian signed-rank test with a region of practical equivalence (Benavoli et al. 2017, JMLR 18).

    Attributes:
        better, equivalent, worse: posterior probabilities that the first method's typical difference (the median of all
            means of two tasks' differences) lies above `margin`, within it, below it; they add up to 1.
        margin: in points.
    """

    better: float
    equivalent: float
    worse: float
    margin: float


@dataclass(frozen=True)
class Pair:
    """Two methods, compared as one of several pairs.

    Attributes:
        first, second: their names.
        gain: first minus second, with its interval; its p is not corrected.
        p: the gain's p after Holm's correction for the number of pairs (Holm 1979).
        practical: how probable it is that the difference matters.
    """

    first: str
    second: str
    gain: Gain
    p: float
    practical: Practical


@dataclass(frozen=True)
class Ranks:
    """All methods by their mean rank over tasks, rank 1 for the highest score of a task.

    Attributes:
        means: the mean rank of each method, the best first.
        tasks: the tasks that all methods have.
        p: of Friedman's test that all methods have the same rank (`scipy.stats.friedmanchisquare`).
        critical_difference: mean ranks that lie less apart are not told apart at 0.05 (Nemenyi 1963):
            q sqrt(M (M + 1) / (6 T)) for M methods on T tasks, q by `scipy.stats.studentized_range` over sqrt 2.
        groups: the largest sets of neighbours that are not told apart, of two methods at least.
    """

    means: Mapping[str, float]
    tasks: int
    p: float
    critical_difference: float
    groups: Sequence[Sequence[str]]


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number: the i-th smallest of m times m - i + 1, in the same order."""
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    corrected = np.minimum(1.0, np.maximum.accumulate(np.asarray(values, dtype=float)[order] * factors))
    return [float(value) for value in corrected[np.argsort(order, kind="stable")]]


def signed_rank(values: Sequence[float], margin: float = MARGIN, name: str = "signed rank") -> Practical:
    """Return the Bayesian signed-rank test of the tasks' mean differences, in points.

    The tasks' weights are drawn from a Dirichlet distribution in which each difference counts 1 and a pseudo-difference
    of 0 counts 0.5. Of each draw it is seen in which region most of the weight of the means of two differences lies;
    a probability is the share of the draws.

    Raises:
        UserError: no differences.
    """
    if not len(values):
        raise UserError("there are no differences to test", expected="those of at least one task")
    found = np.array([0.0, *values])
    sums = (found[:, None] + found) / 2
    above, below = (sums > margin).astype(float), (sums < -margin).astype(float)
    weights = generator(f"signed rank/{name}").dirichlet([PRIOR, *np.ones(len(values))], size=SAMPLES)
    shares = np.array([((weights @ region) * weights).sum(axis=1) for region in (above, below)])
    shares = np.stack([shares[0], 1 - shares.sum(axis=0), shares[1]])
    better, equivalent, worse = (np.bincount(shares.argmax(axis=0), minlength=3) / SAMPLES).tolist()
    return Practical(better, equivalent, worse, margin)


def compared(first: str, cells: Mapping[str, Sequence[Cell]], margin: float = MARGIN) -> list[Pair]:
    """Return one method against each of the others with which it shares cells, the surest difference first.

    Holm's correction is for the pairs returned.

    Args:
        first: the method's name.
        cells: the cells of each method at one k.
        margin: in points, of practical equivalence.
    """
    own, found = points(cells[first]), []
    for second, others in cells.items():
        pair = differences(own, points(others)) if second != first and others else {}
        if pair:
            gain = gain_interval(cells[first], others, common=True)
            practical = signed_rank(task_averages(pair), margin)
            found.append(Pair(first, second, gain, gain.p, practical))
    corrected = holm([pair.p for pair in found])
    made = [replace(pair, p=p) for pair, p in zip(found, corrected, strict=True)]
    return sorted(made, key=lambda pair: (pair.p, pair.gain.p, -abs(pair.gain.mean), pair.second))


def ranks(cells: Mapping[str, Sequence[Cell]], level: float = 0.05) -> Ranks | None:
    """Return the methods by their mean ranks over the tasks that all have; None below 3 methods or 2 tasks.

    Raises:
        UserError: two cells of one (task, seed, run), a score outside [0, 1].
    """
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    tables = {name: table(points(own)) for name, own in sorted(cells.items()) if own}
    shared = sorted(set.intersection(*(set(of) for of in tables.values()))) if tables else []
    if len(tables) < 3 or len(shared) < 2:
        return None
    scores = np.array([[round(mean(of[task].values()), 9) for of in tables.values()] for task in shared])
    each = rankdata(-scores, axis=1).mean(axis=0)
    means = dict(sorted(zip(tables, map(float, each), strict=True), key=lambda item: (item[1], item[0])))
    number = len(tables)
    q = float(studentized_range.ppf(1 - level, number, math.inf)) / math.sqrt(2)
    difference = q * math.sqrt(number * (number + 1) / (6 * len(shared)))
    same = bool(np.all(scores == scores[:, :1]))  # then the statistic is 0 / 0
    p = 1.0 if same else float(friedmanchisquare(*scores.T).pvalue)
    return Ranks(means, len(shared), p, difference, _groups(means, difference))


def _groups(means: Mapping[str, float], difference: float) -> list[list[str]]:
    """Return the largest runs of neighbours by rank that lie within the critical difference."""
    names, found, last = list(means), [], 0
    for start, name in enumerate(names):
        end = max(i for i in range(len(names)) if means[names[i]] - means[name] < difference) + 1
        if end > max(last, start + 1):
            found.append(names[start:end])
        last = max(last, end)
    return found
