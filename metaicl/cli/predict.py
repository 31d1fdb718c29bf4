"""`metaicl predict`: answers to a file of inputs."""

from __future__ import annotations

import sys

from metaicl.cli.functions import run_prediction
from metaicl.cli.parser import Command
from metaicl.inference.config import PredictRun


def run(config: PredictRun) -> None:
    """Print the answers, or write them to a file and show how far it is."""
    from tqdm import tqdm

    from task_suites.core.line_store import json_line

    rows = run_prediction(config, lambda note: print(note, file=sys.stderr))
    if config.output is None:
        for row in rows:
            print(json_line(row), end="", flush=True)
    else:
        for _ in tqdm(rows, unit=" inputs", disable=not sys.stderr.isatty()):
            pass


COMMAND = Command(PredictRun, run, "metaicl predict --model runs/mine --demos demos.jsonl --inputs inputs.jsonl")
