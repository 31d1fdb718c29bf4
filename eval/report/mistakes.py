"""What the report says of single answers: the wrong ones of the method of interest, and whether probabilities can be
believed. Both are read from a run's predictions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eval.calibration import Calibration, calibration
from eval.cells import Prediction, predictions_at
from eval.metrics import right
from eval.report.prompts import ShownSegment, read_mistakes
from eval.report.summary import Row
from eval.results import Results
from eval.statistics import Interval, mean_interval

SHOWN = 8  # mistakes in each of the two lists
PER_TASK = 3  # of one task in a list, so that a single task does not fill it
CLIP = 700  # characters of an input that are shown
Query = tuple[Any, ...]  # (task, seed, index)


@dataclass(frozen=True)
class Mistake:
    """A wrong answer.

    Attributes:
        query: its task's name, the support set's seed, and the index of the query.
        seeds: the support sets under which the same wrong answer was given to the same input.
        margin: the score of the answer less that of the truth; None without scores.
        input, answer, truth: as texts, clipped.
        baseline_right: whether the baseline's answer to the same query is right; None where it has none.
        prompt: the pieces of its prompt; empty where the run has none.
    """

    query: Query
    seeds: frozenset[Any]
    margin: float | None
    input: str
    answer: str
    truth: str
    baseline_right: bool | None
    prompt: Sequence[ShownSegment] = ()

    @property
    def task(self) -> str:
        """The name of its task."""
        return str(self.query[0])


@dataclass(frozen=True)
class Mistakes:
    """The wrong answers of the method of interest at the headline k.

    Attributes:
        total, wrong: how many answers it gave, and how many of them are wrong.
        worst: those with the largest margins.
        regressions: the worst of those that the baseline got right.
        base: the baseline, or None.
        per_task: at most this many of one task are in a list.
    """

    total: int
    wrong: int
    worst: Sequence[Mistake]
    regressions: Sequence[Mistake]
    base: Row | None
    per_task: int = PER_TASK


@dataclass(frozen=True)
class Trust:
    """A method's calibration over all its answers at the headline k, and its Brier score's mean over tasks."""

    row: Row
    pooled: Calibration
    brier: Interval | None


def mistakes(folder: Path, results: Results, made: Sequence[Row]) -> Mistakes:
    """Return the wrong answers of the first row's method, by the margin of its answer over the truth.

    The same wrong answer to the same input under several seeds is one mistake.
    """
    base = next((row for row in made if row.baseline and row is not made[0]), None)
    theirs = {query: good for query, _, good in _judged(folder, results, base)} if base else {}
    total = 0
    found: dict[tuple[str, str, str], Mistake] = {}
    for query, answered, good in _judged(folder, results, made[0]):
        total += 1
        if not good:
            mistake = _mistake(query, answered, theirs.get(query))
            place = (mistake.task, mistake.input, mistake.answer)
            found[place] = _merged(found[place], mistake) if place in found else mistake
    prompts = _prompts(folder, made[0].method.name, results.headline_k)
    told = [replace(mistake, prompt=prompts.get(mistake.query, ())) for mistake in found.values()]
    ranked = sorted(told, key=lambda m: (m.margin is None, -(m.margin or 0), m.task, m.input))
    worst = _spread(ranked)
    regressions = _spread([m for m in ranked if m.baseline_right and m not in worst])
    return Mistakes(total, sum(len(m.seeds) for m in ranked), worst, regressions, base)


def calibrations(folder: Path, results: Results, made: Sequence[Row]) -> list[Trust]:
    """Return the calibration of each method whose answers have scores."""
    found = []
    for row in made:
        answered = (one for _, one in predictions_at(folder, row.method.name, results.headline_k))
        pooled = calibration(one for one in answered if _sound(one))
        cells = [replace(c, score=c.brier / 2) for c in row.cells if c.brier is not None]  # from 0 to 2
        if pooled:
            found.append(Trust(row, pooled, _twice(mean_interval(cells)) if cells else None))
    return found


def _judged(folder: Path, results: Results, row: Row) -> Iterator[tuple[Query, Prediction, bool]]:
    """Yield each answer of a method at the headline k, and whether it is right."""
    metrics = {task.name: task.metric for task in results.tasks}
    for query, one in predictions_at(folder, row.method.name, results.headline_k):
        if query[0] in metrics:
            yield query, one, right(metrics[query[0]], one.answer, one.truth)


def _mistake(query: Query, one: Prediction, baseline_right: bool | None) -> Mistake:
    texts = (_text(one.input), _text(one.answer), _text(one.truth))
    return Mistake(query, frozenset([query[1]]), _margin(one), *texts, baseline_right)


def _prompts(folder: Path, method: str, k: int) -> Mapping[Query, Sequence[ShownSegment]]:
    """Return the prompts of mistakes by query, where the folder has those of this method at this k."""
    stored = read_mistakes(folder)
    if stored is None or (stored.method, stored.k) != (method, k):
        return {}
    return {(one.task, one.seed, one.index): one.segments for one in stored.prompts}


def _merged(one: Mistake, other: Mistake) -> Mistake:
    """Return the one with the larger margin, under the seeds of both."""
    kept = other if (other.margin or 0) > (one.margin or 0) else one
    return replace(kept, seeds=one.seeds | other.seeds)


def _spread(ranked: Sequence[Mistake]) -> list[Mistake]:
    """Return the first mistakes, at most `PER_TASK` of a task."""
    kept: list[Mistake] = []
    for mistake in ranked:
        if len(kept) < SHOWN and sum(m.task == mistake.task for m in kept) < PER_TASK:
            kept.append(mistake)
    return kept


def _twice(points: Interval) -> Interval:
    """Halved Brier scores in points as Brier scores."""
    return Interval(*(value / 50 for value in (points.mean, points.low, points.high)))


def _margin(one: Prediction) -> float | None:
    """Score of the answer less score of the truth; None where options or scores are absent or do not fit together."""
    if not _sound(one) or one.answer not in (one.options or ()):
        return None
    scores = dict(zip(one.options or (), one.scores or (), strict=True))
    return float(scores[str(one.answer)] - scores[str(one.truth)])


def _sound(one: Prediction) -> bool:
    """Return whether a prediction has one finite score for each option, and the truth among the options."""
    options, scores = one.options, one.scores
    if not (isinstance(options, list) and isinstance(scores, list) and len(options) == len(scores)):
        return False
    return one.truth in options and all(isinstance(s, int | float) and math.isfinite(s) for s in scores)


def _text(value: Any) -> str:
    """Return an input or an answer as one text: tokens and tags joined by blanks, a long one clipped."""
    text = " ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
    return text if len(text) <= CLIP else text[:CLIP] + " …"
