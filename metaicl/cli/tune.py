"""`metaicl tune`: find a method's hyperparameters on the meta-validation tasks."""

from __future__ import annotations

from eval.config import TuneRun
from metaicl.cli.parser import Command


def run(config: TuneRun) -> None:
    """Run the trials that are missing."""
    from eval.tune import tune_run

    tune_run(config)


COMMAND = Command(TuneRun, run, "metaicl tune --method fomaml --trials 8 --budget_seconds 90")
