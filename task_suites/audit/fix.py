"""A cleaned suite: without the examples that leak, in the local layout (docs/data.md), with a log of what went."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from task_suites.audit.run import PARTS, AuditReport, Pair, audit_suite
from task_suites.core.atomic import check_free, new_folder, write_lines
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.export import check
from task_suites.export.local import write_local
from task_suites.task import Task, TaskSuite

LOG = "removed.jsonl"
ROUNDS = 10  # an example that was removed may have hidden a pair in a crowded bucket


@dataclass(frozen=True)
class Fixed:
    """A suite without leaks.

    Attributes:
        suite: the cleaned suite.
        report: its audit.
        removed: the pairs because of which `drop` went, in the numbering of the original suite.
        dropped: tasks that had no example left in a split.
    """

    suite: TaskSuite
    report: AuditReport
    removed: list[Pair]
    dropped: list[str]


def cleaned(suite: TaskSuite, report: AuditReport, **settings: Any) -> Fixed:
    """Return the suite without the example of each leaking pair that counts less (`Pair.drop`), until no leak is left.

    Args:
        report: the suite's audit.
        settings: further arguments of `audit_suite`.

    Raises:
        UserError: a source is on two sides, which no removal of examples mends; or no task is left.
    """
    if report.sources:
        names = ", ".join(source.source for source in report.sources)
        raise UserError(
            f"suite {suite.name}: these sources have tasks on two sides of the split",
            found=names,
            fix="Move their tasks to one side, or allow them: --allow NAME.",
        )
    numbers = {(task.name, part): range(len(task.examples(part))) for task in suite.tasks.values() for part in PARTS}
    kept: dict[tuple[str, str], list[int]] = {place: list(indices) for place, indices in numbers.items()}
    removed: list[Pair] = []
    dropped: list[str] = []
    for _ in range(ROUNDS):
        if report.clean:
            return Fixed(suite, report, removed, dropped)
        gone: set[tuple[str, str, int]] = set()
        for pair in report.leaks:
            if pair.drop not in gone and pair.keep not in gone:
                gone.add(pair.drop)
                removed.append(_renumbered(pair, kept))
        for place in kept:
            kept[place] = [n for i, n in enumerate(kept[place]) if (*place, i) not in gone]
        dropped += [t for t in suite.tasks if t not in dropped and not all(kept[t, part] for part in PARTS)]
        previous, touched = suite, {task for task, _, _ in gone}
        suite = previous.replace_tasks(lambda task: _without(task, gone, dropped) if task.name in touched else task)  # noqa: B023
        if not suite.tasks:
            fix = "Its tasks are copies of each other: leave some out (--exclude), then audit again."
            raise UserError(f"suite {suite.name}: no task has enough examples without its leaks", fix=fix)
        report = audit_suite(suite, **settings)
    fix = "Audit it without --fix, and remove the rest by hand."
    raise UserError(f"suite {suite.name}: leaks are left after {ROUNDS} rounds", fix=fix)


def _without(task: Task, gone: set[tuple[str, str, int]], dropped: list[str]) -> Task | None:
    if task.name in dropped:
        return None

    def load(part: str) -> list[Example]:
        return [e for i, e in enumerate(task.examples(part)) if (task.name, part, i) not in gone]

    return task.replace(load=load)


def _renumbered(pair: Pair, kept: dict[tuple[str, str], list[int]]) -> Pair:
    """Return the pair in the numbers of the original suite."""
    (a, a_part, i), (b, b_part, j) = pair.keep, pair.drop
    keep, drop = (a, a_part, kept[a, a_part][i]), (b, b_part, kept[b, b_part][j])
    return Pair(pair.kind, pair.relation, keep, drop, pair.similarity)


def write_fixed(fixed: Fixed, folder: Path) -> None:
    """Write the cleaned suite and its log into a new folder, whole or not at all.

    The log, `removed.jsonl`, has a line for each example that went: task, split, index in the original, what it was a
    duplicate of and how.

    Raises:
        UserError: the folder exists and is not empty, cannot be written, or a task's name is not a name of a folder.
    """
    log = [
        {
            "task": p.drop[0],
            "split": p.drop[1],
            "index": p.drop[2],
            "why": p.kind,
            "where": p.relation,
            "kept": {"task": p.keep[0], "split": p.keep[1], "index": p.keep[2]},
        }
        for p in fixed.removed
    ]
    log += [{"task": name, "why": "no example left in a split"} for name in fixed.dropped]

    check(fixed.suite, "local")
    check_free(folder)
    with new_folder(folder) as target:
        write_local(fixed.suite, target)
        write_lines(target / LOG, log)
