"""Reptile (Nichol et al. 2018, arXiv 1803.02999): the start moves towards where each task's steps end.

k steps go from theta to theta' on a task; then theta <- theta + e mean (theta' - theta). As a loss for the outer loop
that is 1/2 |theta - stop_gradient(theta')|^2, whose gradient is theta - theta': one inner step is joint training, and
more of them hold first-order terms of MAML's gradient. With SGD outside, e is its rate; the trainer's AdamW takes the
same direction entry by entry.

The paper splits a task into no support and queries: the inner loop of meta-training goes over minibatches of all of an
episode's examples (`use_queries`, `batch`). At test it takes its steps on the support set as the other methods do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from metaicl.methods.base import seeded
from metaicl.methods.gradient.base import GradientMethod
from metaicl.methods.gradient.inner_loop import last
from task_suites.core.ranges import Natural
from task_suites.episodes import Episode
from task_suites.example import Example


class Reptile(GradientMethod):
    """Reptile. See the module's docstring."""

    label = "Reptile"
    note = "the start moves towards where each task's steps end"
    paper = "Nichol et al. 2018, arXiv 1803.02999"

    @dataclass(frozen=True)
    class Config(GradientMethod.Config):
        """The options of Reptile.

        Attributes:
            order: has to be 1.
            use_queries: whether meta-training also uses the queries of an episode, with their answers.
            batch: how many examples a step of meta-training takes, in turn from a shuffle of the episode's; 0 takes
                all.
        """

        order: Literal[1] = 1
        use_queries: bool = True
        batch: Natural = 8

    config: Config

    def outer(self, episode: Episode) -> tuple[Tensor, Tensor]:
        """Weight: 1 an episode."""
        theta = self.start()
        after = last(self.descend(episode.task, list(self.batches(episode)), theta, order=0), theta)
        distance = torch.stack([(p - after[n].detach()).square().sum() for n, p in theta.items()]).sum()
        return distance / 2, torch.ones((), device=distance.device)

    def batches(self, episode: Episode) -> Iterator[Sequence[Example]]:
        """Yield the examples of each inner step of meta-training, by the episode's key."""
        examples = (*episode.support, *(episode.queries if self.config.use_queries else ()))
        size = min(self.config.batch or len(examples), len(examples))
        if size == len(examples):
            yield from [examples] * self.config.inner_steps
            return
        order = torch.randperm(len(examples), generator=seeded("reptile", *episode.key)).tolist()
        for step in range(self.config.inner_steps):
            yield [examples[order[(step * size + i) % len(order)]] for i in range(size)]
