"""`metaicl completion`: a script by which a shell completes commands, options and their values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from metaicl.cli.parser import Command


@dataclass(frozen=True)
class Completion:
    """Print a script that completes the commands and options of metaicl in a shell.

    Attributes:
        shell: bash, zsh or tcsh.
    """

    shell: Literal["bash", "zsh", "tcsh"]


def run(config: Completion) -> None:
    """Print the script."""
    import shtab

    from metaicl.cli.main import build_parser

    print(shtab.complete(build_parser(), config.shell))


COMMAND = Command(Completion, run, 'eval "$(metaicl completion bash)"', ("shell",))
