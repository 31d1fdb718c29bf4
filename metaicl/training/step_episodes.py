"""Which episodes a training step takes: a function of the configuration and the step, whatever was drawn before."""

from __future__ import annotations

import random
from collections.abc import Sequence

from metaicl.methods.base import Method
from metaicl.training.config import TrainerConfig
from task_suites.core.errors import UserError, counted
from task_suites.episodes import Episode, EpisodeSampler
from task_suites.task import Task


def training_episodes(tasks: Sequence[Task], config: TrainerConfig, step: int) -> list[Episode]:
    """Return the episodes of one step: their tasks by the mixing, their k by its bounds; functions of (seed, number,
    step)."""
    numbers = range(step * config.episodes_per_step, (step + 1) * config.episodes_per_step)
    episodes = []
    for number, task in zip(numbers, config.task_mixing().choose(tasks, config.seed, numbers), strict=True):
        k = most = config.most_demonstrations(step)
        if config.k_min:
            k = random.Random(f"{config.seed}/k/{number}").randint(config.k_min, most)
        sampler = EpisodeSampler(
            config.seed,
            k,
            config.queries,
            per_class=config.per_class,
            max_classes=config.max_classes,
            arbitrary_labels=config.arbitrary_labels,
        )
        episodes.append(sampler.draw(task, "train", number))
    return episodes


def served_tasks(tasks: Sequence[Task], method: Method, name: str) -> list[Task]:
    """Return the tasks that a method serves.

    Raises:
        UserError: there is none.
    """
    served = [task for task in tasks if method.refusal(task) is None]
    if not served:
        why = f" ({tasks[0].name}: {method.refusal(tasks[0])})" if tasks else ""
        fix = "Say which tasks are meta_train: `splits` in the suite's YAML (docs/data.md), or --split_file FILE."
        found = f"{counted(len(tasks), 'task')}{why}"
        raise UserError(f"no meta-training task that {name} serves", found=found, fix=fix)
    return served
