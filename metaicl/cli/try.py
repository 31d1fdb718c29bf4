"""`metaicl try`: a first look in the terminal."""

from __future__ import annotations

import sys

from metaicl.cli.parser import Command
from metaicl.inference.config import TryRun
from task_suites.core.errors import UserError


def run(config: TryRun) -> None:
    """Read demonstrations and queries from the terminal, or from a pipe."""
    from metaicl.inference.session import run_session

    def read(shown: str) -> str:
        try:
            if sys.stdin.isatty():
                return input(shown)
            line = sys.stdin.readline()
        except UnicodeDecodeError as error:
            found = repr(error.object[error.start : error.end])
            raise UserError("a line of the input is not UTF-8", found=found, fix="Convert it with iconv.") from None
        if not line:
            raise EOFError
        return line

    run_session(config, read, print)


COMMAND = Command(TryRun, run, "metaicl try --model smollm2-135m")
