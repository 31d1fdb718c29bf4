"""Which methods differ, for the report: the method of interest against each other, all by rank, and how to see more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eval.cells import Cell
from eval.report.summary import Row, count, p_text, signed
from eval.statistics import Pair, Ranks, compared, needed, ranks, variance

HEAD = ("Compared with", "Gain", "p (Holm)", "Better", "Equivalent", "Worse")
PLANNED = 5.0  # points: the difference whose detection is planned
PARTS = {
    "task": "between tasks",
    "support": "between support sets with their queries",
    "run": "between trainings",
    "task_run": "between trainings on single tasks",
    "rest": "between trainings on single support sets",
}


@dataclass(frozen=True)
class Differences:
    """Which methods differ at the headline k.

    Attributes:
        label: the method of interest.
        pairs: it against each other method, the surest difference first.
        labels: of the methods, by name.
        ranks: of all methods; None below three methods or two tasks that all have.
        notes: how to read the table, and what it would take to see more.
    """

    label: str
    pairs: Sequence[Pair]
    labels: dict[str, str]
    ranks: Ranks | None
    notes: Sequence[str]

    def rows(self) -> list[tuple[str, ...]]:
        """Return the table as texts, in the order of `HEAD`."""
        return [
            (
                self.labels[pair.second],
                signed(pair.gain),
                p_text(pair.p),
                *(
                    f"{100 * share:.0f} %"
                    for share in (pair.practical.better, pair.practical.equivalent, pair.practical.worse)
                ),
            )
            for pair in self.pairs
        ]


def found_differences(made: Sequence[Row]) -> Differences | None:
    """Return what differs from the first row's method; None where no other method shares a cell with it."""
    cells = {row.method.name: list(row.cells) for row in made}
    first = made[0]
    pairs = compared(first.method.name, cells) if first.cells else []
    if not pairs:
        return None
    labels, ranked = {row.method.name: row.label for row in made}, ranks(cells)
    margin = pairs[0].practical.margin
    corrected = (
        f"The p of {len(pairs)} comparisons are corrected by Holm's method: below 0.05, that any of them is below by "
        "chance has a probability of at most 5 %."
    )
    notes = [
        *([corrected] if len(pairs) > 1 else []),
        f"Better and worse are the probabilities that {first.label} is typically more than {margin:g} point above or "
        f"below on a task, equivalent that the difference is smaller (Bayesian signed-rank test).",
        *([_rank_note(ranked, labels)] if ranked else []),
        *_variance_notes(first, cells, next((row for row in made if row.baseline and row is not first), None)),
    ]
    return Differences(first.label, pairs, labels, ranked, notes)


def _rank_note(found: Ranks, labels: dict[str, str]) -> str:
    """Return what the ranks say, as a sentence."""
    apart = "differ" if found.p < 0.05 else "are not shown to differ"
    order = "; ".join(f"{labels[name]} {rank:.1f}" for name, rank in list(found.means.items())[:8])
    return (
        f"On the {count(found.tasks, 'task')} that all {len(found.means)} methods have, their ranks {apart} "
        f"(Friedman's test, p {p_text(found.p)}). Mean ranks less than {found.critical_difference:.2f} apart are not "
        f"told apart (Nemenyi's test). The best first: {order}."
    )


def _variance_notes(first: Row, cells: dict[str, list[Cell]], base: Row | None) -> list[str]:
    """Return where the variance of the method of interest comes from, and what shows a difference from the baseline."""
    notes = []
    parts = variance(first.cells)
    if parts and any(shares := parts.shares.values()) and len(shares) > 1:
        said = ", ".join(f"{100 * share:.0f} % {PARTS[name]}" for name, share in parts.shares.items())
        notes.append(f"The variance of single scores of {first.label} is {said}.")
    need = needed(first.cells, cells[base.method.name], PLANNED) if base and base.cells else None
    if base and need:
        tasks = f"{need.tasks} tasks like these" if need.tasks else "more than 1,000 tasks like these"
        sets = "" if need.seeds is None else f", or {count(need.seeds, 'support set')} on each task at hand"
        notes.append(
            f"To show a difference of {need.difference:g} points between {first.label} and {base.label} with "
            f"{100 * need.power:.0f} % power takes {tasks}{sets or '; more support sets do not suffice'}."
        )
    return notes
