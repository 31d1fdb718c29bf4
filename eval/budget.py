"""How many steps of meta-training a budget of seconds allows, measured once on this machine and then kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from eval.config import refuse_steps
from metaicl.methods.base import Method
from metaicl.training.config import TrainerConfig
from metaicl.training.estimate import steps_within
from task_suites.core.atomic import write_text
from task_suites.core.json_files import read_json
from task_suites.task import TaskSuite


def within_budget(
    path: Path, fingerprint: str, seconds: float, build: Callable[[], Method], suite: TaskSuite, trainer: TrainerConfig
) -> TrainerConfig:
    """Return the outer loop with the steps that `path` keeps for the training of this fingerprint; where it has none
    they are measured on the method that `build` makes, and kept.

    Raises:
        UserError: `trainer` says itself how many steps; or see `steps_within`.
    """
    refuse_steps(trainer, seconds)
    kept = read_json(path) if path.is_file() else {}
    if kept.get("config") != fingerprint:
        kept = {"config": fingerprint, "steps": steps_within(seconds, build(), suite, trainer)}
        write_text(path, json.dumps(kept) + "\n")
    return trainer.within_budget(kept["steps"])
