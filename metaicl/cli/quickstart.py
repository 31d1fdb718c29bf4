"""`metaicl quickstart`: the whole story in minutes."""

from __future__ import annotations

from eval.quickstart.config import QuickstartRun
from metaicl.cli.parser import Command
from metaicl.cli.process import begun


def run(config: QuickstartRun) -> None:
    """Meta-train and compare within the minutes."""
    from eval.quickstart.run import quickstart

    quickstart(config, begun())


COMMAND = Command(QuickstartRun, run, "metaicl quickstart --minutes 30")
