"""What the report says of what lies before a comparison: the trainings among its methods, the audit of its tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.lineage import AUDIT, TRAININGS
from eval.report.summary import Row, count, duration
from eval.results import Results
from task_suites.audit.run import BETWEEN
from task_suites.core.errors import UserError
from task_suites.core.json_files import read_json

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
    kept = _object(folder / TRAININGS)
    found = []
    for row in made:
        if value := kept.get(row.method.name):
            same = sum(other.label == row.label for other in made) > 1
            found.append(_training(row.label + (f" ({row.method.name})" if same else ""), value))
    return found


def _training(label: str, value: Mapping[str, Any]) -> Training:
    groups, end = value.get("tasks"), value.get("finished") or {}
    learned = [
        f"{count(len(g['tasks']), 'task')} of {g['suite'] or 'a suite without a name'}"
        + (f", from {g['source']}" if g["source"] and g["source"] != g["suite"] else "")
        + (f" ({g['licence']})" if g["licence"] else "")
        for g in groups or ()
    ]
    names = [name for g in groups or () for name in g["tasks"]]
    ended = f"{count(end['steps'], 'step')} in {duration(end.get('seconds'))}" if end.get("steps") else ""
    if end.get("best_step"):
        ended += f", best weights after {end['best_step']:,}"
    model, command, curve = value.get("model") or "", value.get("command") or "", value.get("curve") or {}
    unknown = ["Nothing says what it was trained on."] if groups is None else []
    names = names if len(names) <= NAMED else []
    return Training(label, model, learned or unknown, names, ended, command, curve)


def audit(folder: Path, results: Results) -> Audit | None:
    """Return the audit of the compared tasks; None where the folder keeps none.

    Raises:
        UserError: the file is not what `eval.lineage` writes.
    """
    kept = _object(folder / AUDIT)
    if not kept:
        return None
    relations: Mapping[str, Mapping[str, int]] = kept.get("counts") or {}
    pairs = [f"{count(sum(kinds.values()), 'pair')} {_where(relation)}" for relation, kinds in relations.items()]
    read = f"{count(kept['examples'], 'example')} of {count(kept['tasks'], 'task')}"
    said = f"Of {read}, " + (f"repeated inputs: {'; '.join(pairs)}." if pairs else "no input is repeated.")
    names = {task.name for task in results.tasks}
    warnings = (kept.get("warnings") or {}).items()
    return Audit(said, [(task, "; ".join(texts)) for task, texts in warnings if task in names])


def _where(relation: str) -> str:
    ours = {"train and test": "across demonstrations and queries of a task", BETWEEN: "between tasks"}
    return ours.get(relation, relation)


def _object(path: Path) -> dict[str, Any]:
    """Return the object in a file; an empty one where the file is absent."""
    value = read_json(path) if path.is_file() else {}
    if not isinstance(value, dict) or not all(isinstance(v, dict) for k, v in value.items() if path.name == TRAININGS):
        raise UserError("not what an evaluation writes", where=path, fix="Delete it, or evaluate again.")
    return value
