"""What this machine is, and what was measured of it: each question is measured once and kept in the user's cache."""

from __future__ import annotations

import json
import logging
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from task_suites.core.atomic import write_text
from task_suites.core.errors import UserError
from task_suites.core.files import user_cache

log = logging.getLogger("metaicl")
_known: dict[tuple[Path, str, str], str] = {}  # what this process has read or measured, by file, machine and question


def processor() -> str:
    """Return the processor's name, as the system reports it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown processor")


def identity() -> str:
    """Name what the speed of this CPU depends on: processor, instruction set, threads and PyTorch's version."""
    instructions, threads = torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()
    return f"{platform.machine()} {processor()}, {instructions}, {threads} threads, torch {torch.__version__}"


def measured_once(question: str, answers: Sequence[str], measure: Callable[[], str]) -> str:
    """Return this machine's answer to a question: the one that was kept, or what `measure` returns now.

    Args:
        question: what is measured, such as "precision".
        answers: the possible answers; a kept one that is none of them is measured again.
        measure: measures and returns one of the answers.
    """
    path, name = user_cache() / "machine.json", identity()
    if (path, name, question) not in _known:
        _known[path, name, question] = _kept_or_measured(path, name, question, answers, measure)
    return _known[path, name, question]


def forget() -> None:
    """Forget what this process knows, so that the file is read again. For tests."""
    _known.clear()


def _kept_or_measured(path: Path, name: str, question: str, answers: Sequence[str], measure: Callable[[], str]) -> str:
    known = _read(path)
    answer = known.get(name, {}).get(question)
    if answer is not None and answer in answers:
        return answer
    answer = measure()
    known.setdefault(name, {})[question] = answer
    try:
        write_text(path, json.dumps(known, indent=1) + "\n")
    except UserError as error:  # a cache that cannot be written costs a measurement in each process, no more
        log.debug("%s", error)
    return answer


def _read(path: Path) -> dict[str, dict[str, str]]:
    """Return what was measured before; nothing where the file is missing or damaged, since it can be measured again."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {k: v for k, v in known.items() if isinstance(v, dict)} if isinstance(known, dict) else {}


def least_seconds(work: Callable[[], object], rounds: int = 5) -> float:
    """Return the least seconds that `work` takes over some rounds, after a first one that warms up."""
    found = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found[1:])
