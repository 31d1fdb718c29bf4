"""Cells that were refused: which methods could not answer which task, and why.

A method that does not take a kind of task at all (tags, say) refuses it *by design*; such tasks are simply not its own.
Every other refusal leaves a gap in the comparison: the task has too few examples for k, a prompt does not fit the
model's context, an inner loop diverges. The report counts these, and `metaicl evaluate` ends with the status `GAPS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eval.cells import Refusal
from eval.results import Results
from task_suites.core.errors import counted

GAPS = 3  # exit status of an evaluation that finished with refused cells
SHOWN = 5  # reasons in the table and the notes; all of them are in the report's section "Not run"


@dataclass(frozen=True)
class Reason:
    """A reason for which cells of one task were refused.

    Attributes:
        methods: the labels of the methods; `EVERY` where all methods of the comparison refused.
        task: its name.
        ks: the numbers of demonstrations.
        cells: how many cells.
        text: the reason in words.
        by_design: the method does not take this kind of task at all.
    """

    methods: tuple[str, ...]
    task: str
    ks: tuple[int, ...]
    cells: int
    text: str
    by_design: bool

    def __str__(self) -> str:
        ks = ", ".join(map(str, self.ks))
        return f"{', '.join(self.methods)} on {self.task} at k = {ks} ({counted(self.cells, 'cell')}): {self.text}"


EVERY = ("every method",)


def grouped(results: Results) -> list[Reason]:
    """Return the refusals of a comparison, one reason for each task: gaps first, the most cells first.

    Reasons that differ only in what was found (a prompt's length, say) are one; the first of them is shown.
    """
    labels = {method.name: str(method.label) for method in results.methods}
    found: dict[tuple[str, str, bool], list[Refusal]] = {}
    for cell in results.refusals:
        what = cell.reason.partition("; found ")[0]
        found.setdefault((cell.task, what, cell.by_design), []).append(cell)
    made = []
    for (task, _, by_design), cells in found.items():
        names = dict.fromkeys(labels.get(cell.method, cell.method) for cell in cells)
        methods = EVERY if len(names) == len(labels) > 1 else tuple(names)
        ks = tuple(sorted({cell.k for cell in cells}))
        made.append(Reason(methods, task, ks, len(cells), cells[0].reason, by_design))
    return sorted(made, key=lambda reason: (reason.by_design, -reason.cells))


def gaps(results: Results) -> list[Reason]:
    """Return the reasons that are not by design."""
    return [reason for reason in grouped(results) if not reason.by_design]


def gap_sentence(results: Results) -> str:
    """Return how many cells were refused, as a sentence; "" where none was."""
    refused = sum(reason.cells for reason in gaps(results))
    if not refused:
        return ""
    planned = refused + len(results.cells)
    return f"{refused} of {counted(planned, 'cell')} {'was' if refused == 1 else 'were'} refused."


def gap_reasons(results: Results) -> list[str]:
    """Return the reasons, each with its methods and task; some of them where they are many."""
    found = gaps(results)
    more = [f"and {counted(len(found) - SHOWN, 'more reason')} in results.json"] if len(found) > SHOWN else []
    return [*map(str, found[:SHOWN]), *more]


def reasons(refusals: Sequence[Refusal]) -> str:
    """Return the different reasons of refused cells, each with its task, at most three."""
    found = list(dict.fromkeys(f"{refusal.task}: {refusal.reason}" for refusal in refusals))
    return "; ".join(found[:3]) + ("; ..." if len(found) > 3 else "")
