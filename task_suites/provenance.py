"""Where a suite's tasks come from, and whether they are still what they were."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from task_suites.core.errors import UserError, counted
from task_suites.task import META_SPLITS, Task, TaskSuite

Record = dict[str, dict[str, str]]  # task -> suite, source, licence, fingerprint


def data_record(tasks: Iterable[Task]) -> Record:
    """Return for each task its suite, source and licence, and the fingerprint of its content as its files have it,
    before long examples are left out."""
    return {
        t.name: {
            "suite": t.suite,
            "source": t.source,
            "licence": t.licence,
            "fingerprint": (t.whole or t).fingerprint(),
        }
        for t in tasks
    }


def prompt_fingerprint(task: Task, examples: str | None = None) -> str:
    """Return a hash of all that a task's prompts and scores are made from: its examples, type, instruction, labels,
    metric, and the answers that its definition shows.

    Args:
        examples: the fingerprint of its examples, where they are not the task's own; None takes `task.fingerprint()`.
    """
    head = [task.type, task.instruction, task.labels, task.metric]
    shown = [asdict(illustration) for illustration in (*task.positive, *task.negative)]
    content = [task.fingerprint() if examples is None else examples, head, shown]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:16]


def check_unchanged(recorded: Mapping[str, Any], now: Mapping[str, Any], where: object) -> None:
    """Raise when a task's content is not what a run recorded.

    Args:
        recorded: task -> fingerprint, or a `Record`, of an earlier run; tasks on one side only are passed over.
        now: the same of today's data.
        where: the earlier run's file, for the error.

    Raises:
        UserError: names the tasks whose content changed.
    """
    changed = sorted(n for n in recorded.keys() & now.keys() if fingerprint_of(recorded[n]) != fingerprint_of(now[n]))
    if changed:
        first = changed[0]
        raise UserError(
            f"the data of {counted(len(changed), 'task')} changed since the run: {', '.join(changed[:5])}"
            + (", ..." if len(changed) > 5 else ""),
            where=where,
            found=f"{first} with fingerprint {fingerprint_of(now[first])[:12]}",
            expected=fingerprint_of(recorded[first])[:12],
            fix="Put the data back as it was, or begin a run with another --output_dir (and train again).",
        )


def fingerprint_of(entry: Any) -> str:
    return str(entry["fingerprint"] if isinstance(entry, Mapping) else entry)


def tree(suite: TaskSuite) -> str:
    """Return the lineage as text: suite, sides, sources, tasks, each with a fingerprint; that of a node is over those
    below. In a mixture a task says which suite it is of.

    Two suites with the same data have the same fingerprints, wherever they are and whatever their order.
    """
    side = {task.name: split for split in META_SPLITS for task in suite.split(split)}
    prints = {name: task.fingerprint() for name, task in suite.tasks.items()}
    several = len({task.suite for task in suite.tasks.values()}) > 1
    lines: list[str] = []
    sides = [s for s in (*META_SPLITS, "in no split") if any(side.get(n, "in no split") == s for n in suite.tasks)]
    for s_index, name in enumerate(sides):
        members = [t for t in suite.tasks.values() if side.get(t.name, "in no split") == name]
        last_side = s_index == len(sides) - 1
        lines.append(f"{'└' if last_side else '├'}─ {name}  {_short(combined(prints[t.name] for t in members))}")
        bar = "   " if last_side else "│  "
        sources: dict[str, list[Task]] = {}
        for t in members:
            sources.setdefault(t.source or "source unstated", []).append(t)
        for o_index, (source, tasks) in enumerate(sources.items()):
            last_source = o_index == len(sources) - 1
            licences = ", ".join(dict.fromkeys(t.licence or "licence unstated" for t in tasks))
            print_ = _short(combined(prints[t.name] for t in tasks))
            lines.append(f"{bar}{'└' if last_source else '├'}─ {source}  [{licences}]  {print_}")
            stem = bar + ("   " if last_source else "│  ")
            for t_index, t in enumerate(tasks):
                mark = "└" if t_index == len(tasks) - 1 else "├"
                sizes = f"{len(t.examples('train'))} train, {len(t.examples('test'))} test"
                home = f"  of {t.suite}" if several else ""
                lines.append(f"{stem}{mark}─ {t.name}  {t.type}, {sizes}{home}  {_short(prints[t.name])}")
    head = f"{suite.name}  {counted(len(suite.tasks), 'task')}  {_short(combined(prints.values()))}"
    return "\n".join([head, *lines])


def combined(prints: Iterable[str]) -> str:
    """Return one fingerprint of several, in whatever order they come."""
    return hashlib.sha256("\n".join(sorted(prints)).encode()).hexdigest()


def _short(fingerprint: str) -> str:
    return fingerprint[:12]
