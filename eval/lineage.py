"""What a comparison's folder keeps of what lies before it: how each trained method was trained (`trainings.json`), and
what an audit of the compared tasks finds (`audit.json`). The report reads both, wherever the folder is moved."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.contenders import Contender
from metaicl.training.checkpoint import read_training
from metaicl.training.identity import RUN
from task_suites.audit.run import PARTS, audit_suite
from task_suites.core.atomic import write_text
from task_suites.core.json_files import read_json, read_json_lines
from task_suites.task import Task, TaskSuite

TRAININGS, AUDIT = "trainings.json", "audit.json"
POINTS = 400  # of a training curve; a page draws no more
MOST = 200_000  # examples; more are not audited along the way


def write_lineage(folder: Path, contenders: Sequence[Contender], tasks: Sequence[Task]) -> None:
    """Write both files; without trained methods, or where the tasks have too many examples, the one is left out."""
    trainings = {c.name: training_of(c.folder) for c in contenders if c.folder}
    _write(folder / TRAININGS, trainings)
    _write(folder / AUDIT, audit_of(tasks))


def training_of(folder: Path) -> dict[str, Any]:
    """Return what the report says of one training, from the folder of the trained method (`runs/NAME/best`).

    `tasks` has its tasks by suite, source and licence, or is None where nothing says what it learned from; `curve` has
    pairs of step and value.
    """
    run, known = folder.parent, read_training(folder)
    record = read_json(run / RUN) if (run / RUN).is_file() else {}
    values = known.run if known else {}
    return {
        "folder": str(folder),
        "model": values.get("model"),
        "command": shlex.join((record.get("manifest") or {}).get("arguments") or []),
        "finished": record.get("finished"),
        "tasks": _by_source(known.trained_on) if known else None,
        "curve": _curve(run / "metrics.jsonl"),
    }


def audit_of(tasks: Sequence[Task]) -> dict[str, Any]:
    """Return what an audit of these tasks finds: exact duplicates only, for the rest takes long; {} for too many
    examples."""
    whole = [task.whole or task for task in tasks]
    if sum(len(task.examples(part)) for task in whole for part in PARTS) > MOST:
        return {}
    names = tuple(task.name for task in whole)
    suite = TaskSuite("the compared tasks", {task.name: task for task in whole}, {"meta_test": names})
    found = audit_suite(suite, near=False, languages=False)
    warnings = {name: said for name, notes in found.notes.items() if (said := notes.warnings())}
    return {"tasks": found.tasks, "examples": found.examples, "counts": found.counts(), "warnings": warnings}


def _by_source(trained_on: Mapping[str, Mapping[str, str]]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str, str], list[str]] = {}
    for name, record in trained_on.items():
        groups.setdefault((record["suite"], record["source"], record["licence"]), []).append(name)
    return [
        {"suite": suite, "source": source, "licence": licence, "tasks": names}
        for (suite, source, licence), names in groups.items()
    ]


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
