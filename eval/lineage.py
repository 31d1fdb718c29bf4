"""What a comparison's folder keeps of what lies before it: how each trained method was trained (`trainings.json`), and
what an audit of the compared tasks finds (`audit.json`). The report reads both, wherever the folder is moved."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from eval.contenders import Contender
from metaicl.training.checkpoint import read_training
from metaicl.training.identity import RUN
from task_suites.audit.run import PARTS, WITHIN, Pair, audit_suite
from task_suites.core.atomic import write_text
from task_suites.core.errors import UserError
from task_suites.core.json_files import read_json, read_json_lines
from task_suites.task import Task, TaskSuite

TRAININGS, AUDIT = "trainings.json", "audit.json"
POINTS = 400  # of a training curve; a page draws no more
MOST = 200_000  # examples; more are not audited along the way


@dataclass(frozen=True)
class Learned:
    """Tasks of one suite, source and licence that a training learned from, by name."""

    suite: str
    source: str
    licence: str
    tasks: Sequence[str]


@dataclass(frozen=True)
class TrainingRecord:
    """What the report says of one training.

    Attributes:
        folder: of the trained method (`runs/NAME/best`).
        model: its base model; None where that is unknown.
        command: that trained it.
        finished: how it ended, as in `run.json`; None where nothing says it.
        tasks: what it learned from; None where nothing says it.
        curve: losses and validation values by name, as pairs of step and value.
    """

    folder: str = ""
    model: str | None = None
    command: str = ""
    finished: Mapping[str, float | None] | None = None
    tasks: Sequence[Learned] | None = None
    curve: Mapping[str, Sequence[Sequence[float]]] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TrainingRecord:
        """Return the record that a JSON object of `trainings.json` holds."""
        known = {f.name: value[f.name] for f in fields(cls) if value.get(f.name) is not None}
        if "tasks" in known:
            known["tasks"] = tuple(Learned(**group) for group in known["tasks"])
        return cls(**known)


@dataclass(frozen=True)
class AuditRecord:
    """What an audit of the compared tasks finds: how much it read, kind -> pairs by relation, warnings by task.

    `contaminated` has, of each task that has any, the number of its test examples whose input also stands among its
    train examples, from which demonstrations are drawn, or in another of the tasks.
    """

    tasks: int
    examples: int
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    warnings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    contaminated: Mapping[str, int] = field(default_factory=dict)


def write_lineage(folder: Path, contenders: Sequence[Contender], tasks: Sequence[Task]) -> None:
    """Write both files; without trained methods, or where the tasks have too many examples, the one is left out."""
    write_trainings(folder, {c.name: training_of(c.folder) for c in contenders if c.folder})
    found = audit_of(tasks)
    _write(folder / AUDIT, asdict(found) if found else {})


def write_trainings(folder: Path, trainings: Mapping[str, TrainingRecord]) -> None:
    """Write `trainings.json`; no file where there are none."""
    _write(folder / TRAININGS, {name: asdict(one) for name, one in trainings.items()})


def read_trainings(folder: Path) -> dict[str, TrainingRecord]:
    """Return the trainings that a comparison's folder keeps, by the methods' names.

    Raises:
        UserError: the file is not what `write_trainings` writes.
    """
    whole = _read(folder / TRAININGS)
    try:
        return {name: TrainingRecord.from_json(value) for name, value in whole.items()}
    except (AttributeError, TypeError):
        raise _foreign(folder / TRAININGS) from None


def read_audit(folder: Path) -> AuditRecord | None:
    """Return the audit that a comparison's folder keeps; None where it keeps none.

    Raises:
        UserError: the file is not what `write_lineage` writes.
    """
    whole = _read(folder / AUDIT)
    try:
        return AuditRecord(**whole) if whole else None
    except TypeError:
        raise _foreign(folder / AUDIT) from None


def training_of(folder: Path) -> TrainingRecord:
    """Return what the report says of one training, from the folder of the trained method (`runs/NAME/best`)."""
    run, known = folder.parent, read_training(folder)
    record = read_json(run / RUN) if (run / RUN).is_file() else {}
    return TrainingRecord(
        folder=str(folder),
        model=known.run.get("model") if known else None,
        command=shlex.join((record.get("manifest") or {}).get("arguments") or []),
        finished=record.get("finished"),
        tasks=_by_source(known.trained_on) if known else None,
        curve=_curve(run / "metrics.jsonl"),
    )


def audit_of(tasks: Sequence[Task]) -> AuditRecord | None:
    """Return what an audit of these tasks finds: exact duplicates only, because the rest takes long; None for too many
    examples."""
    whole = [task.whole or task for task in tasks]
    if sum(len(task.examples(part)) for task in whole for part in PARTS) > MOST:
        return None
    names = tuple(task.name for task in whole)
    suite = TaskSuite("the compared tasks", {task.name: task for task in whole}, {"meta_test": names})
    found = audit_suite(suite, near=False, languages=False)
    warnings = {name: said for name, notes in found.notes.items() if (said := notes.warnings())}
    return AuditRecord(found.tasks, found.examples, found.counts(), warnings, _contaminated(found.pairs))


def _contaminated(pairs: Sequence[Pair]) -> dict[str, int]:
    """Return task -> how many of its test examples stand elsewhere too, where there is one."""
    seen = {ref for pair in pairs if pair.relation != WITHIN for ref in (pair.keep, pair.drop) if ref[1] == "test"}
    return dict(sorted(Counter(task for task, _, _ in seen).items()))


def _by_source(trained_on: Mapping[str, Mapping[str, str]]) -> list[Learned]:
    groups: dict[tuple[str, str, str], list[str]] = {}
    for name, record in trained_on.items():
        groups.setdefault((record["suite"], record["source"], record["licence"]), []).append(name)
    return [Learned(*origin, names) for origin, names in groups.items()]


def _read(path: Path) -> Mapping[str, Any]:
    """Return the object in a file; an empty one where the file is absent."""
    value = read_json(path) if path.is_file() else {}
    if not isinstance(value, dict):
        raise _foreign(path)
    return value


def _foreign(path: Path) -> UserError:
    return UserError("not what an evaluation writes", where=path, fix="Delete it, or evaluate again.")


def _curve(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Return losses and validation values by step, evenly thinned; nothing where the file is absent."""
    lines = [line for _, line in read_json_lines(path, None)] if path.is_file() else []
    found = {}
    for name in ("loss", "validation"):
        points = [(line["step"], line[name]) for line in lines if isinstance(line.get(name), int | float)]
        found[name] = points[:: max(1, -(-len(points) // POINTS))]
    return found


def _write(path: Path, content: Mapping[str, Any]) -> None:
    if content:
        write_text(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    else:
        path.unlink(missing_ok=True)
