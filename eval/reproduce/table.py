"""Scores as a paper computes them, and the table of its numbers beside ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

from eval.cells import Cell, Prediction
from eval.further_scores import macro_f1_metaicl
from eval.metrics import accuracy, exact_match
from eval.reproduce.protocol import Published, Row
from task_suites.core.errors import UserError
from task_suites.task import Task

Metric = Callable[[Task, Sequence[Prediction]], float]


def metaicl(task: Task, predictions: Sequence[Prediction]) -> float:
    """Return MetaICL's score: macro-F1 over the classes of the right answers for classification, else accuracy."""
    given, truth = _texts(predictions)
    return macro_f1_metaicl(given, truth) if task.type == "classification" else accuracy(given, truth)


def auc_roc(task: Task, predictions: Sequence[Prediction]) -> float:
    """Return the area under the ROC curve of a task with two options: how well their scores' difference ranks queries.

    Raises:
        UserError: the task has another number of options, or all queries have one answer.
    """
    from sklearn.metrics import roc_auc_score

    pairs = [(one.options, one.scores, one.truth) for one in predictions]
    if any(options is None or scores is None or len(options) != 2 for options, scores, _ in pairs):
        fix = "Choose rows whose method scores options."
        raise UserError(f"task {task.name}: AUC-ROC needs scores of two options for each query", fix=fix)
    second = [int(truth == options[1]) for options, _, truth in pairs if options]
    if len(set(second)) < 2:
        fix = "Answer more queries (--queries)."
        raise UserError(f"task {task.name}: all queries have the same right answer, so AUC-ROC has no value", fix=fix)
    return float(roc_auc_score(second, [scores[1] - scores[0] for _, scores, _ in pairs if scores]))


def precision_at_1(task: Task, predictions: Sequence[Prediction]) -> float:
    """Return the share of queries whose answer is the right text."""
    return exact_match(*_texts(predictions))


METRICS: Mapping[str, Metric] = {"metaicl": metaicl, "auc_roc": auc_roc, "precision_at_1": precision_at_1}


def _texts(predictions: Sequence[Prediction]) -> tuple[list[str], list[str]]:
    return [str(one.answer or "") for one in predictions], [str(one.truth) for one in predictions]


@dataclass(frozen=True)
class Reproduced:
    """One row of the table, in points.

    Attributes:
        row: its name.
        published: the paper's mean and, where the row has demonstrations, its worst over seeds.
        mean, worst: ours: each task's mean (worst) over seeds, averaged over the tasks; None where nothing ran.
        by_task: each task's score at each seed.
        refused: the reasons of what could not be scored.
        steps: of the meta-training, where there was one here.
        weights: the published file that answered, where one did.
    """

    row: str
    published: Sequence[float]
    mean: float | None = None
    worst: float | None = None
    by_task: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    refused: Sequence[str] = ()
    steps: int | None = None
    weights: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def row_of(row: Row, published: Sequence[float], by_task: Mapping[str, Mapping[str, float]], **more: Any) -> Reproduced:
    """Return a row with the means over tasks, each task's over seeds first, as the paper takes them."""
    if not by_task:
        return Reproduced(row.name, published, **more)
    mean, worst = (round(fmean(of(list(scores.values())) for scores in by_task.values()), 1) for of in (fmean, min))
    return Reproduced(row.name, published, mean, worst if row.demonstrated else None, by_task, **more)


def scored_cells(
    metric: str, tasks: Sequence[Task], cells: Mapping[int, Sequence[Cell]]
) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Return (task -> seed -> points, the reasons of cells without a score) of one row's cells by seed."""
    named, found, refused = {task.name: task for task in tasks}, dict[str, dict[str, float]](), list[str]()
    for seed, of_seed in cells.items():
        for cell in of_seed:
            try:
                value = METRICS[metric](named[cell.task], cell.predictions)
            except UserError as error:
                refused.append(str(error))
                continue
            found.setdefault(cell.task, {})[str(seed)] = round(100 * value, 2)
    return found, refused


def markdown(published: Published, setting: str, rows: Sequence[Reproduced], model: str, notes: Sequence[str]) -> str:
    """Return the table, with what a reader has to know."""
    lines = [
        f"{published.title}, {setting}: published ({published.source}; {published.model}) and ours ({model})",
        "",
        "| method | published | ours | difference | tasks |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        gap = f"{row.mean - row.published[0]:+.1f}" if row.mean is not None and row.published else ""
        name = row.row + (f" ({row.steps} steps)" if row.steps else "")
        cells = [name, _pair(*row.published), _pair(row.mean, row.worst), gap, str(len(row.by_task))]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "Mean over tasks in points and, after the stroke, the mean of each task's worst seed."]
    return "\n".join([*lines, *(f"{note}" for note in notes)]) + "\n"


def _pair(mean: float | None = None, worst: float | None = None) -> str:
    if mean is None:
        return ""
    return f"{mean:.1f}" if worst is None else f"{mean:.1f}/{worst:.1f}"
