"""How long work takes on this machine: a few real jobs are timed, and the rest follows from their sizes.

A job is one training episode, or one cell of an evaluation; its size is the tokens of its prompt tree. Its time is
taken to be a line in its size. Attention makes the true curve bend upwards, but the jobs that are timed are spread over
the sizes of those that are to come, so the line is a chord through the part of the curve that is used.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

from metaicl.lm.shared_work import nothing_shared
from metaicl.methods.base import Method
from metaicl.training.checkpoints import checkpoints_in, step_of
from metaicl.training.config import TrainerConfig, ValidationConfig
from metaicl.training.preflight import validation_episodes
from metaicl.training.step_episodes import training_episodes
from metaicl.training.trainer import Trainer
from task_suites.core.errors import UserError
from task_suites.episodes import Episode
from task_suites.task import Task, TaskSuite

SAMPLES = 2  # jobs that are timed of each kind
REPEATS = 2  # how often a training step is timed; the shortest time counts
STEPS = 64  # steps whose episodes are looked at; longer trainings are like their first steps


@dataclass(frozen=True)
class Rate:
    """Seconds of one job: `fixed + per_token * tokens`."""

    fixed: float = 0.0
    per_token: float = 0.0

    def seconds(self, sizes: Iterable[int]) -> float:
        """Return the seconds of jobs of these sizes together."""
        sizes = list(sizes)
        return self.fixed * len(sizes) + self.per_token * sum(sizes)


def fitted(samples: Sequence[tuple[int, float]]) -> Rate:
    """Return the least-squares line through (tokens, seconds), with neither part negative."""
    if not samples:
        return Rate()
    tokens, seconds = fmean([t for t, _ in samples]), fmean([s for _, s in samples])
    spread_ = sum((t - tokens) ** 2 for t, _ in samples)
    slope = sum((t - tokens) * (s - seconds) for t, s in samples) / spread_ if spread_ else seconds / max(1, tokens)
    if slope < 0:
        return Rate(seconds, 0.0)
    if slope * tokens > seconds:  # the line would begin below zero
        return Rate(0.0, seconds / max(1, tokens))
    return Rate(seconds - slope * tokens, slope)


def spread(sizes: Sequence[int], count: int = SAMPLES) -> list[int]:
    """Return the indices of `count` jobs (all, where there are fewer) in the middle of equal parts of the sizes."""
    order = sorted(range(len(sizes)), key=lambda i: sizes[i])
    count = min(count, len(order))
    return [order[int((part + 0.5) * len(order) / count)] for part in range(count)]


def timed(jobs: Sequence[tuple[int, Callable[[], object]]], repeats: int = 1) -> Rate:
    """Return the rate of (size, job) pairs, each of which is run. A job that returns False has not done its work,
    and is not counted.

    Args:
        repeats: how often a job is run. Its shortest time counts, since other work on the machine only lengthens it.
    """
    samples = []
    for size, job in jobs:
        seconds = [_seconds(job) for _ in range(repeats)]
        done = [one for one in seconds if one is not None]
        if done:
            samples.append((size, min(done)))
    return fitted(samples)


def _seconds(job: Callable[[], object]) -> float | None:
    """Return how long a job takes; None where it has not done its work."""
    started = time.monotonic()
    return None if job() is False else time.monotonic() - started


def training_rate(method: Method, episodes: Sequence[Episode], warm_up: bool = True) -> Rate:
    """Return the rate of forward and backward passes over training episodes.

    `SAMPLES` of them are run `REPEATS` times, and the shortest before, to warm up. Nothing that is cached between tasks
    is used, and the method stays as it was.
    """
    sizes, dropped = [method.tokens(episode) for episode in episodes], method.dropped

    def passes(episode: Episode) -> None:
        with nothing_shared():
            loss, _ = method([episode])
            loss.backward()

    if warm_up and episodes:
        passes(episodes[min(range(len(sizes)), key=sizes.__getitem__)])
    rate = timed([(sizes[i], partial(passes, episodes[i])) for i in spread(sizes)], REPEATS)
    method.zero_grad()
    method.dropped = dropped
    return rate


def first_episodes(tasks: Sequence[Task], config: TrainerConfig) -> list[Episode]:
    """Return the episodes of a training's steps, or of the first `STEPS` of them."""
    return [
        e for step in range(min(STEPS, config.resolved().max_steps)) for e in training_episodes(tasks, config, step)
    ]


def steps_seconds(rate: Rate, sizes: Sequence[int], config: TrainerConfig, steps: int) -> float:
    """Return the seconds of this many steps whose episodes have sizes like these."""
    return rate.seconds(sizes) / len(sizes) * config.episodes_per_step * steps


def steps_within(seconds: float, method: Method, suite: TaskSuite, trainer: TrainerConfig) -> int:
    """Return how many steps a budget of seconds allows on this machine. Embeddings that another method left in memory
    are not used: methods that share them get the same budget.

    Raises:
        UserError: the suite has no meta-training task that the method serves.
    """
    tasks = [task for task in suite.split("meta_train") if method.refusal(task) is None]
    if not tasks:
        fix = "Give a suite with such tasks under meta_train, or another method."
        raise UserError(f"no meta-training task that {type(method).__name__} serves", fix=fix)
    episodes = [e for step in range(STEPS) for e in training_episodes(tasks, trainer, step)]
    rate = training_rate(method, episodes)
    per_step = steps_seconds(rate, [method.tokens(e) for e in episodes], trainer, 1)
    return max(1, int(seconds / per_step))


def answering_rate(method: Method, episodes: Sequence[Episode]) -> Rate:
    """Return the rate of adapting to episodes' support sets and answering their queries, of which `SAMPLES` are run."""
    sizes = [method.tokens(episode) for episode in episodes]

    def answer(episode: Episode) -> None:
        with nothing_shared():
            method.adapt(episode.task, episode.support).answers([q.hidden() for q in episode.queries])

    return timed([(sizes[i], partial(answer, episodes[i])) for i in spread(sizes)])


def validation_seconds(method: Method, tasks: Sequence[Task], config: ValidationConfig) -> float:
    """Return the seconds of one round of meta-validation."""
    episodes = list(validation_episodes(tasks, config))
    return answering_rate(method, episodes).seconds([method.tokens(episode) for episode in episodes])


def training_seconds(
    trainer: Trainer, validation: ValidationConfig, held_out: Sequence[Task] = (), resume: bool = False
) -> float:
    """Return the seconds that a training should take: what is left of it where it continues from a checkpoint, with its
    rounds of validation on `held_out`."""
    config, method = trainer.config, trainer.method
    done = steps_done(trainer.run_dir) if resume else 0
    left = max(0, config.resolved().max_steps - done)
    if not left:
        return 0.0
    episodes = first_episodes(trainer.tasks, config)
    sizes = [method.tokens(episode) for episode in episodes]
    processes = trainer.accelerator.num_processes
    seconds = steps_seconds(training_rate(method, episodes), sizes, config, left) / processes
    if config.eval_steps and held_out:
        rounds = -(-config.resolved().max_steps // config.eval_steps) - done // config.eval_steps
        seconds += (rounds + bool(config.weight_averaging)) * validation_seconds(method, held_out, validation)
    return seconds


def steps_done(run_dir: Path) -> int:
    """Return the step of the newest checkpoint in a training's folder; 0 where there is none."""
    return max((step_of(folder) or 0 for folder in checkpoints_in(run_dir)), default=0)
