"""`metaicl train`: meta-train one method."""

from __future__ import annotations

from metaicl.cli.functions import run_training
from metaicl.cli.parser import Command
from metaicl.training.config import TrainRun


def run(config: TrainRun) -> None:
    """Train."""
    run_training(config)


COMMAND = Command(
    TrainRun, run, "metaicl train --suite embedded my-suite --method metaicl --max_steps 100 --output_dir runs/mine"
)
