"""`metaicl predict`: answers to a file of inputs."""

from __future__ import annotations

import sys

from metaicl.api import run_prediction
from metaicl.cli.parser import Command
from metaicl.inference.config import PredictRun


def run(config: PredictRun) -> None:
    """Print the answers."""
    from task_suites.core.line_store import json_line

    for row in run_prediction(config, lambda note: print(note, file=sys.stderr)):
        print(json_line(row), end="")


COMMAND = Command(PredictRun, run, "metaicl predict --model runs/mine --demos demos.jsonl --inputs inputs.jsonl")
