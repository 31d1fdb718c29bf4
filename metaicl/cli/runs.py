"""`metaicl runs`: what was trained and compared, with what result, and in what two trainings differ."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from metaicl.cli.actions import check_action
from metaicl.cli.parser import Command
from task_suites.core.errors import UserError, counted

ACTIONS = {"list": 0, "show": 1, "compare": 2}  # how many runs each names


@dataclass(frozen=True)
class Runs:
    """List and compare what was trained and evaluated: list, show RUN, compare RUN OTHER.

    Attributes:
        action: list: the runs of a folder. show: one run and how it ended. compare: how the options of two trainings
            differ, and how each ended.
        run: the name of a run in --folder, or its path.
        other: the second run, to compare.
        folder: the folder of the runs.
    """

    action: str
    run: str = ""
    other: str = ""
    folder: Path = Path("runs")

    def __post_init__(self) -> None:
        check_action(self.action, ACTIONS)
        given = bool(self.run) + bool(self.other)
        if given != ACTIONS[self.action]:
            fix = "Write: metaicl runs list, metaicl runs show RUN, or metaicl runs compare RUN OTHER."
            what = f"metaicl runs {self.action} takes {counted(ACTIONS[self.action], 'run')}"
            raise UserError(what, found=given, fix=fix)


def run(config: Runs) -> None:
    """Print what was requested."""
    from metaicl.cli.run_lines import compared, find, listed, shown

    if config.action == "list":
        lines: Iterable[str] = listed(config.folder)
    elif config.action == "show":
        lines = shown(find(config.folder, config.run))
    else:
        lines = compared(find(config.folder, config.run), find(config.folder, config.other))
    print("\n".join(lines))


COMMAND = Command(
    Runs,
    run,
    "metaicl runs list\nmetaicl runs show mine\nmetaicl runs compare first second",
    ("action", "run", "other"),
)
