"""The settings of a command's process, made before anything heavy is imported."""

from __future__ import annotations

import io
import logging
import os
import sys
import time
import warnings
from pathlib import Path

_begun = time.monotonic()  # when the command began: the process's first one before anything heavy is imported
_commands = 0  # that this process has prepared


def begun() -> float:
    """Return when the command that runs began: a process's first one with its imports, a later one with `prepare`."""
    return _begun


def prepare() -> None:
    """Settings of this process that have to stand before torch is loaded, and one line for each message.

    OpenMP threads sleep soon while they wait: on cores with other work, two threads that spin for each other took 51 s
    for what takes 0.7 s when they sleep. Sleeping at once costs 15 % on idle cores, and after 10,000 turns (some 30
    microseconds) 3 %.
    """
    global _begun, _commands
    _begun, _commands = (time.monotonic() if _commands else _begun), _commands + 1
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # read when torch is loaded
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    for stream in (sys.stdout, sys.stderr):  # what is read back (JSON lines) is UTF-8, whatever the locale says
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8")
    warnings.formatwarning = _warning_line
    logging.basicConfig(format="%(message)s")
    logging.getLogger("metaicl").setLevel(logging.INFO)


def _warning_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Return a warning as one line of standard error: what, which kind, where."""
    where = f"{category.__name__}, {Path(filename).name}:{lineno}"
    return f"metaicl: warning: {' '.join(str(message).split())} ({where})\n"
