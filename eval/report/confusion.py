"""Which labels the method of interest takes for which, on tasks whose queries all have the same options."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.cells import predictions_at
from eval.report.summary import Row
from eval.results import Results

MOST = 12  # labels; a larger table is not read


@dataclass(frozen=True)
class Confusion:
    """The answers to one task, over all support sets at the headline k.

    Attributes:
        task: its name.
        labels: its options.
        counts: for each right label the number of answers with each label, in their order.
        right: how many answers are right.
    """

    task: str
    labels: Sequence[str]
    counts: Sequence[Sequence[int]]

    @property
    def right(self) -> int:
        return sum(row[i] for i, row in enumerate(self.counts))

    @property
    def total(self) -> int:
        return sum(map(sum, self.counts))

    def shares(self) -> list[list[float]]:
        """Return the counts over the sum of their row, 0 in an empty row."""
        return [[n / sum(row) if sum(row) else 0.0 for n in row] for row in self.counts]


def confusions(folder: Path, results: Results, row: Row) -> list[Confusion]:
    """Return the confusion matrix of each task with fixed labels, in the order of the tasks."""
    answers: dict[str, Counter[tuple[str, str]]] = {}
    options: dict[str, list[str] | None] = {}
    for (task, _, _), one in predictions_at(folder, row.method.name, results.headline_k):
        given = list(one.options or ())
        known = options.setdefault(task, given)
        if known is not None and (sorted(given) != sorted(known) or one.answer not in given or one.truth not in given):
            options[task] = None  # options of its own for each query, or an answer that is none of them
        answers.setdefault(task, Counter())[str(one.truth), str(one.answer)] += 1
    found = []
    for task in results.tasks:
        labels = options.get(task.name)
        if labels and 2 <= len(labels) <= MOST:
            counts = [[answers[task.name][truth, answer] for answer in labels] for truth in labels]
            found.append(Confusion(task.name, labels, counts))
    return found
