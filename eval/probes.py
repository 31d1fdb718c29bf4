"""Probes of in-context learners: the same queries after demonstrations of which one thing was changed.

    demonstration_labels   random: any option stands for the right one (Min et al. 2022, arXiv 2202.12837);
                           flipped: the option after the right one (Wei et al. 2023, arXiv 2303.03846);
                           arbitrary: words that say nothing, in demonstrations and queries alike
    demonstration_order    another order of the same demonstrations
    demonstration_inputs   other: inputs of another task, with the answers of the task's own demonstrations

Each draw is a function of (seed, task). What is not named stays as it was drawn.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from eval.config import Protocol
from task_suites.core.errors import UserError
from task_suites.episodes import Episode, EpisodeSampler
from task_suites.example import Example
from task_suites.task import Task


def probed(protocol: Protocol, episode: Episode, others: Sequence[Task]) -> Episode:
    """Return an episode whose demonstrations were changed as the protocol says.

    Args:
        others: tasks of which one lends its inputs; the episode's own task may be among them.

    Raises:
        UserError: labels are to be changed of a task that has none, or no other task lends inputs.
    """
    if protocol.demonstration_labels == "arbitrary":
        episode = _with_arbitrary_labels(episode)
    support = episode.support
    if protocol.demonstration_labels in ("random", "flipped"):
        support = _relabelled(episode, protocol.demonstration_labels)
    if protocol.demonstration_inputs == "other":
        support = _with_other_inputs(episode, support, others)
    if protocol.demonstration_order:
        order = _rng(episode, f"order/{protocol.demonstration_order}")
        support = tuple(order.sample(support, len(support)))
    return episode if support is episode.support else replace(episode, support=support)


def _with_arbitrary_labels(episode: Episode) -> Episode:
    relabelled = episode.relabelled()
    if relabelled is episode:
        raise UserError(
            f"task {episode.task.name}: no arbitrary words stand for its labels",
            found=f"{len(episode.task.labels)} labels",
            expected="two labels or more, the same in all examples, and no more than there are words",
        )
    return relabelled


def _relabelled(episode: Episode, how: str) -> tuple[Example, ...]:
    rng = _rng(episode, f"labels/{how}")
    changed = []
    for example in episode.support:
        if example.options is None or example.output is None:
            raise UserError(
                f"task {episode.task.name}: its demonstrations have no options that {how} labels could be drawn from",
                fix="Take tasks with options: --forms options.",
            )
        after = (example.options.index(example.output) + 1) % len(example.options)
        label = rng.choice(example.options) if how == "random" else example.options[after]
        changed.append(replace(example, output=label, accepted=()))
    return tuple(changed)


def _with_other_inputs(episode: Episode, support: tuple[Example, ...], others: Sequence[Task]) -> tuple[Example, ...]:
    own = episode.task
    lenders = [
        task
        for task in others
        if task.name != own.name and (task.family or task.name) != (own.family or own.name) and task.form == own.form
    ]
    if own.form == "tags" or not lenders:
        raise UserError(
            f"task {own.name}: no other task can lend inputs to its demonstrations",
            found=f"{len(others)} tasks, {own.form}",
            expected="a task of another family with options or text, as it has",
            fix="Compare on more tasks.",
        )
    lender = _rng(episode, "lender").choice(sorted(lenders, key=lambda task: task.name))
    lent = EpisodeSampler(episode.key[0], len(support), 1).draw(lender, "test", 0).support
    return tuple(replace(one, input=other.input) for one, other in zip(support, lent, strict=True))


def _rng(episode: Episode, purpose: str) -> random.Random:
    """Return a generator that is the same for every k, so that smaller support sets begin the larger ones."""
    return episode.rng(f"probe/{purpose}")
