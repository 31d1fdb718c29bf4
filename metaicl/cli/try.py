"""`metaicl try`: a first look in the terminal."""

from __future__ import annotations

import sys

from metaicl.cli.parser import Command
from metaicl.inference.config import TryRun


def run(config: TryRun) -> None:
    """Read demonstrations and queries from the terminal, or from a pipe."""
    from metaicl.inference.session import run_session

    def read(shown: str) -> str:
        if sys.stdin.isatty():
            return input(shown)
        if not (line := sys.stdin.readline()):
            raise EOFError
        return line

    run_session(config, read, print)


COMMAND = Command(TryRun, run, "metaicl try --model smollm2-135m")
