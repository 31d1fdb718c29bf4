"""How long training on trees and on padded rows takes to reach one quality; `training.py` says what is measured."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import measuring  # noqa: F401 - it sets the environment, so before torch
import numpy as np
import torch
from measuring import rounded, say
from training_steps import TRAINER, Comparison, Step, rows_of, tree_step

from metaicl.methods.in_context.icl import InContext
from metaicl.training.preflight import VALIDATION_SEED
from metaicl.training.step_episodes import training_episodes
from task_suites.episodes import Episode, EpisodeSampler
from task_suites.task import Task, TaskSuite

QUALITY_QUERIES = 200
EVERY = {"trees": 4, "padded": 1}  # steps between validations: some ten seconds, and some thirty
Curve = list[tuple[float, float]]  # (seconds of training, negative log-likelihood)


def time_to_quality(case: Comparison, suite: TaskSuite, args: argparse.Namespace) -> dict[str, Any]:
    """See the module's docstring; both sides start from the same weights."""
    size, count = (2, 8) if args.quick else (16, QUALITY_QUERIES)
    minutes = 0.05 if args.quick else args.quality_minutes
    method, plain, tasks = case.method, case.plain, suite.split("meta_train")
    held_out = validation_episodes(suite.split("meta_validation"), count, size)
    say(f"  quality: {sum(len(e.queries) for e in held_out)} queries of {', '.join(e.task.name for e in held_out)}")
    validate = partial(mean_loss, method, held_out)
    one_episode = replace(TRAINER, k=size, queries=size)
    one_query = replace(TRAINER, k=size, queries=1, episodes_per_step=size)

    def trees(step: int) -> Step:
        (episode,) = training_episodes(tasks, one_episode, step)
        return lambda: tree_step(method, episode)[1]

    def padded(step: int) -> Step:
        rows = [row for e in training_episodes(tasks, one_query, step) for row in rows_of(method.backbone, e)]

        def run() -> float:
            case.padded(rows, case.batch)
            return sum(row.supervised for row in rows)

        return run

    learned = list(method.learned().values())
    start = [p.detach().clone() for p in learned]
    say("  quality: trees")
    mine = train(trees, learned, validate, seconds=60 * minutes, every=EVERY["trees"])
    reached, target = lowest_mean(mine)
    with torch.no_grad():
        for p, value in zip(learned, start, strict=True):
            p.copy_(value)  # and with it the plain model's, which lies in the same storage
    say(f"  quality: the trees reach {target:.4f} in {reached:.0f} s; padded")
    theirs_learned = [p for p in plain.model.parameters() if p.requires_grad]
    theirs = train(padded, theirs_learned, validate, seconds=240 * minutes, every=EVERY["padded"], until=target)
    arrived = theirs[-1][1] <= target
    sound = target < mine[0][1]
    if not sound:
        say(f"  quality: training did not help ({mine[0][1]:.4f} before), so there is no ratio")
    say(f"  quality: padded {'arrives after' if arrived else 'has not arrived after'} {theirs[-1][0]:.0f} s")
    return {
        "time_to_quality_ratio": rounded(reached / theirs[-1][0]) if sound else None,
        "bound": not arrived if sound else None,
        "target_nll_per_token": rounded(target),
        "seconds_to_target": {"trees": rounded(reached), "padded": rounded(theirs[-1][0])},
        "validation_queries": {e.task.name: len(e.queries) for e in held_out},
        "curves": {name: [[*map(rounded, p)] for p in curve] for name, curve in (("trees", mine), ("padded", theirs))},
    }


@torch.no_grad()
def mean_loss(method: InContext, episodes: Sequence[Episode]) -> float:
    """Return the mean negative log-likelihood of a supervised token."""
    loss, weight = map(sum, zip(*(method([episode]) for episode in episodes), strict=True))
    return float(loss / weight)


def validation_episodes(tasks: Sequence[Task], count: int, k: int) -> list[Episode]:
    """One episode a task, `count` queries in all, in parts as equal as the tasks' test examples allow."""
    drawn = [EpisodeSampler(VALIDATION_SEED, k, count).draw(task, "test", 0) for task in tasks]
    episodes = []
    for i, episode in enumerate(sorted(drawn, key=lambda e: len(e.queries))):
        share = -(-count // (len(drawn) - i))  # the rest over the tasks that are left, rounded up
        episodes.append(replace(episode, queries=episode.queries[:share]))
        count -= len(episodes[-1].queries)
    return [e for e in episodes if e.queries]


def train(
    step: Callable[[int], Step],
    learned: Sequence[torch.nn.Parameter],
    validate: Callable[[], float],
    *,
    seconds: float,
    every: int,
    until: float = float("-inf"),
) -> Curve:
    """Validations before training, after each `every` steps and at the end: after `seconds`, or at `until` or below.

    `step(number)` draws a step, off the clock, and gives what runs it and returns its supervised tokens.
    """
    optimizer = torch.optim.AdamW(learned, lr=TRAINER.learning_rate, weight_decay=TRAINER.weight_decay, fused=True)
    curve, spent, number = [(0.0, validate())], 0.0, 0
    say(f"    step    0: {curve[0][1]:.4f}")
    while spent < seconds and (number == 0 or curve[-1][1] > until):
        run = step(number)
        started = time.perf_counter()
        weight = run()
        for p in learned:
            if p.grad is not None:
                p.grad.div_(weight)
        torch.nn.utils.clip_grad_norm_(learned, TRAINER.max_grad_norm)
        for group in optimizer.param_groups:
            group["lr"] = TRAINER.rate(number)
        optimizer.step()
        optimizer.zero_grad()
        spent += time.perf_counter() - started
        number += 1
        if number % every == 0 or spent >= seconds:
            curve.append((spent, validate()))
            say(f"    step {number:4}: {curve[-1][1]:.4f} after {spent:.0f} s")
    return curve


def lowest_mean(curve: Curve) -> tuple[float, float]:
    """Return (seconds, value) of the lowest running mean of three validations after the first; the time is its
    last's."""
    trained = curve[1:]
    window = min(3, len(trained))
    means = [(float(np.mean([v for _, v in trained[i - window : i]])), i) for i in range(window, len(trained) + 1)]
    value, end = min(means)
    return trained[end - 1][0], value
