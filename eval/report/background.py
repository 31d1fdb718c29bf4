"""What the report says of what lies before a comparison: the trainings among its methods, the audit of its tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.lineage import TrainingRecord, read_audit, read_trainings
from eval.report.summary import Row, count, duration
from eval.results import Results
from task_suites.audit.run import BETWEEN

NAMED = 60  # tasks that are listed by name; of more the number is said


@dataclass(frozen=True)
class Training:
    """One trained method: what it learned from, how, and its curves (name -> pairs of step and value)."""

    label: str
    model: str
    learned: Sequence[str]
    names: Sequence[str]
    ended: str
    command: str
    curve: Mapping[str, Sequence[Sequence[float]]]


@dataclass(frozen=True)
class Audit:
    """What an audit of the compared tasks found: a sentence, and remarks on single tasks."""

    said: str
    remarks: Sequence[tuple[str, str]]


def trainings(folder: Path, made: Sequence[Row]) -> list[Training]:
    """Return the trained methods of the rows, in their order; none where the folder keeps nothing of them.

    Raises:
        UserError: the file is not what `eval.lineage` writes.
    """
    kept = read_trainings(folder)
    found = []
    for row in made:
        if record := kept.get(row.method.name):
            same = sum(other.label == row.label for other in made) > 1
            found.append(_training(row.label + (f" ({row.method.name})" if same else ""), record))
    return found


def _training(label: str, record: TrainingRecord) -> Training:
    groups, end = record.tasks or (), record.finished or {}
    learned = [
        f"{count(len(g.tasks), 'task')} of {g.suite or 'a suite without a name'}"
        + (f", from {g.source}" if g.source and g.source != g.suite else "")
        + (f" ({g.licence})" if g.licence else "")
        for g in groups
    ]
    names = [name for g in groups for name in g.tasks]
    ended = f"{count(int(steps), 'step')} in {duration(end.get('seconds'))}" if (steps := end.get("steps")) else ""
    if best := end.get("best_step"):
        ended += f", best weights after {best:,}"
    unknown = ["Nothing says what it was trained on."] if record.tasks is None else []
    names = names if len(names) <= NAMED else []
    return Training(label, record.model or "", learned or unknown, names, ended, record.command, record.curve)


def audit(folder: Path, results: Results) -> Audit | None:
    """Return the audit of the compared tasks; None where the folder keeps none.

    Raises:
        UserError: the file is not what `eval.lineage` writes.
    """
    kept = read_audit(folder)
    if kept is None:
        return None
    pairs = [f"{count(sum(kinds.values()), 'pair')} {_where(relation)}" for relation, kinds in kept.counts.items()]
    read = f"{count(kept.examples, 'example')} of {count(kept.tasks, 'task')}"
    said = f"Of {read}, " + (f"repeated inputs: {'; '.join(pairs)}." if pairs else "no input is repeated.")
    remarks = []
    for task in results.tasks:
        texts = list(kept.warnings.get(task.name, ()))
        if number := kept.contaminated.get(task.name):
            texts.insert(
                0, f"contaminated: {count(number, 'test example')} also among demonstrations or in another task"
            )
        if texts:
            remarks.append((task.name, "; ".join(texts)))
    return Audit(said, remarks)


def contamination(folder: Path, results: Results) -> str:
    """Return in a sentence which of the compared tasks have test examples that stand elsewhere too; empty where the
    folder keeps no audit."""
    kept = read_audit(folder)
    if kept is None:
        return ""
    found = [f"{number} of {t.name}" for t in results.tasks if (number := kept.contaminated.get(t.name))]
    told = f"flags test examples that also stand among demonstrations or in another task: {', '.join(found)}"
    return f"The audit {told if found else 'flags no test example among demonstrations or in another task'}."


def _where(relation: str) -> str:
    ours = {"train and test": "across demonstrations and queries of a task", BETWEEN: "between tasks"}
    return ours.get(relation, relation)
