"""One method on one task with one support set: scored (`Cell`), with its predictions, or refused (`Refusal`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from task_suites.core.errors import UserError
from task_suites.core.json_files import read_json_lines

Said = str | Sequence[str]  # a text, or one tag for each token


@dataclass(frozen=True)
class Prediction:
    """One query with its answer.

    Attributes:
        input: the query's text, tokens joined by blanks.
        options: its options, or None.
        scores: one for each option, in their order, higher is better; or None.
        answer: an option, generated text, or one tag for each token.
        truth: the right answer; of several, the one that scores the answer highest.
    """

    input: Any = ""
    options: Sequence[str] | None = None
    scores: Sequence[float] | None = None
    answer: Said | None = None
    truth: Said | None = None


@dataclass(frozen=True)
class Cell:
    """One method on one task with one support set, and its score.

    Attributes:
        method: the method's name in the comparison.
        task: the task's name.
        seed: of the support set.
        k: the number of demonstrations.
        score: from 0 to 1, by the task's metric.
        metric: the metric's name.
        n: queries that were answered.
        seconds: of adapting to the support set and answering.
        adapt_seconds: seconds of adapting, without answering.
        dropped: demonstrations that were left out of prompts that did not fit.
        ece, brier: calibration, where the answers have scores.
        scores: further scores by name (`eval.further_scores`), the task's own metric among them.
        run: the training that answered, where several trainings of one recipe are one method.
        predictions: the answers; kept with a finished cell, absent from `results.json`.
        key: a hash of what the cell depends on; kept with a finished cell, absent from `results.json`.
    """

    method: str
    task: str
    seed: Any
    k: int
    score: float
    metric: str = ""
    n: int = 0
    seconds: float = 0.0
    adapt_seconds: float = 0.0
    dropped: int = 0
    ece: float | None = None
    brier: float | None = None
    scores: Mapping[str, float] | None = None
    run: str | None = None
    predictions: tuple[Prediction, ...] = field(default=(), repr=False)
    key: str = ""

    @property
    def query_seconds(self) -> float:
        """Seconds of answering all queries, after the adaptation."""
        return self.seconds - self.adapt_seconds

    def to_json(self) -> dict[str, Any]:
        """Return the cell as an entry of `results.json`."""
        return as_object(self, "predictions", "key")


@dataclass(frozen=True)
class Refusal:
    """One method on one task with one support set, which could not be answered.

    Attributes:
        method, task, seed, k, key: as in `Cell`.
        reason: why.
        by_design: the method does not take this kind of task at all.
    """

    method: str
    task: str
    seed: Any
    k: int
    reason: str
    by_design: bool
    key: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the refusal as an entry of `results.json`."""
        return as_object(self, "key")


def predictions_at(folder: Path, method: str, k: int) -> Iterator[tuple[tuple[Any, ...], Prediction]]:
    """Yield ((task, seed, index), prediction) of one method at one k from a run's folder; nothing where it keeps none.

    Raises:
        UserError: a line that is not a JSON object, named with file and line.
    """
    path = folder / "predictions" / f"{method}.jsonl"
    for where, line in read_json_lines(path, None) if path.is_file() else ():
        if not isinstance(line, dict):
            raise UserError("not a JSON object", where=where, found=type(line).__name__)
        if line.get("k") == k:
            yield (line.get("task"), line.get("seed"), line.get("index")), prediction(line)


def prediction(value: Mapping[str, Any]) -> Prediction:
    """Return the prediction that a JSON object holds."""
    return Prediction(**{f.name: value.get(f.name, f.default) for f in fields(Prediction)})


def as_object(item: Any, *without: str) -> dict[str, Any]:
    """Return the fields of a dataclass as a JSON object, but for those `without` and those that are None."""
    values = {f.name: getattr(item, f.name) for f in fields(item) if f.name not in without}
    return {name: value for name, value in values.items() if value is not None}
