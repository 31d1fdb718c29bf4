"""`metaicl evaluate`: compare methods on tasks that none was trained on."""

from __future__ import annotations

import shlex
import sys

from eval.config import EvaluateRun
from metaicl.cli.functions import run_evaluation
from metaicl.cli.parser import Command


def run(config: EvaluateRun) -> None:
    """Compare; exit status 3 where a cell has no score that should have one."""
    from eval.refusals import GAPS, gaps

    if gaps(run_evaluation(config, command="metaicl " + shlex.join(sys.argv[1:]))):
        sys.exit(GAPS)


COMMAND = Command(EvaluateRun, run, "metaicl evaluate --methods icl finetune runs/mine --k 4 16 --seeds 3")
