"""How many steps of meta-training a budget of seconds allows, measured once on this machine and then kept."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from eval.config import refuse_steps
from metaicl.config import TrainerConfig
from metaicl.methods.base import Method
from metaicl.trainer import training_episodes
from task_suites.core.json_files import read_json
from task_suites.errors import UserError
from task_suites.task import TaskSuite
from task_suites.writing import write_text


def within_budget(
    path: Path, print_: str, seconds: float, build: Callable[[], Method], suite: TaskSuite, trainer: TrainerConfig
) -> TrainerConfig:
    """The outer loop with the steps that `path` keeps for the training named `print_`; where it has none they are
    measured on the method that `build` makes, and kept.

    Raises:
        UserError: `trainer` says itself how many steps; or see `steps_within`.
    """
    refuse_steps(trainer, seconds)
    kept = read_json(path) if path.is_file() else {}
    if kept.get("config") != print_:
        kept = {"config": print_, "steps": steps_within(seconds, build(), suite, trainer)}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(kept) + "\n")
    return trainer.within_budget(kept["steps"])


def steps_within(seconds: float, method: Method, suite: TaskSuite, trainer: TrainerConfig) -> int:
    """How many steps a budget allows on this machine: from the time of forward and backward passes over four training
    episodes (one before them warms up), for the mean size of the first 64. No embedding that another method left in
    memory is used: methods that share them get the same budget.

    Raises:
        UserError: the suite has no meta-training task that the method serves.
    """
    tasks = [task for task in suite.split("meta_train") if method.refusal(task) is None]
    if not tasks:
        raise UserError(f"no meta-training task that {type(method).__name__} serves")
    episodes = [e for step in range(64) for e in training_episodes(tasks, trainer, step)]
    sizes = [method.tokens(e) for e in episodes]
    spent = 0.0
    for i in range(5):
        started = time.monotonic()
        with method.cold():
            loss, _ = method(episodes[i : i + 1])
            loss.backward()
        spent += time.monotonic() - started if i else 0.0
    method.zero_grad()
    per_episode = spent / sum(sizes[1:5]) * sum(sizes) / len(sizes)
    return max(1, int(seconds / per_episode / trainer.episodes_per_step))
