"""Bayesian MAML (Yoon et al. 2018, arXiv 1806.03836): particles with learned starts, moved by Stein's gradient.

An inner step (SVGD; Liu and Wang 2016, arXiv 1608.04471) moves all M particles together:

    theta_m += a (1/M) sum_j [k(theta_j, theta_m) grad log p(S | theta_j) + grad_{theta_j} k(theta_j, theta_m)]

with k = exp(-d^2/h), whose gradient, the repulsion, is (2/h)(theta_m - theta_j) k. log p is minus the inner loss, which
is a mean over tokens (a tempered posterior under a flat prior), so that `inner_lr` means what it means in MAML.

The outer loss is the chaser's: the squared distance of the particles after n steps on the support set from where s
further steps on support and queries would take them, the latter (the leader) held fixed. Answers are the particles'
average.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from metaicl.lm.backbone import Backbone, Params
from metaicl.methods.base import seeded
from metaicl.methods.gradient.base import FEW_WEIGHTS, GradientMethod
from metaicl.methods.gradient.inner_loop import flat, last, unflatten_like
from metaicl.methods.options import ReadUnless
from metaicl.methods.predictor import AveragePredictor
from task_suites.core.ranges import Count, Natural, NonNegative, Order
from task_suites.episodes import Episode
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Task


class BayesianMAML(GradientMethod):
    """Bayesian MAML; `clip` is for each particle's gradient. See the module's docstring."""

    label = "Bayesian MAML"
    note = "particles that repel each other, moved by SVGD, answers averaged"
    paper = "Yoon et al. 2018, arXiv 1806.03836"
    adapters = FEW_WEIGHTS

    @dataclass(frozen=True)
    class Config(GradientMethod.Config):
        """The options of Bayesian MAML.

        Attributes:
            particles: the number of particles M. The first starts at the backbone's adapters, the others beside it.
            spread: the deviation of the other particles' starts from the first, at the start of meta-training.
            outer_loss: "chaser", or "queries": the mean over particles of the queries' loss after the inner steps,
                which for one particle is MAML's.
            leader_steps: how many further steps s the leader takes.
        """

        inner_lr: NonNegative = 1.0
        order: Order = 2
        particles: Count = 4
        spread: NonNegative = 0.02
        outer_loss: Literal["chaser", "queries"] = "chaser"
        leader_steps: Natural = 1
        read_unless: ClassVar[ReadUnless] = {"leader_steps": ("outer_loss", "queries"), "spread": ("particles", 1)}

    config: Config

    def __init__(self, backbone: Backbone, form: PromptFormat, config: Config):
        super().__init__(backbone, form, config)
        self.others = nn.ParameterList(
            p.detach()
            + config.spread * torch.randn(p.shape, generator=seeded("bmaml", m, n), dtype=p.dtype).to(p.device)
            for m in range(1, config.particles)
            for n, p in backbone.trainable().items()
        )

    def start(self) -> dict[str, Tensor]:
        """Return all particles as one set of weights: `number:name` is a weight of one particle."""
        first = self.backbone.trainable()
        names = [f"{m}:{n}" for m in range(self.config.particles) for n in first]
        return dict(zip(names, [*first.values(), *self.others], strict=True))

    def particle(self, params: Params, number: int) -> dict[str, Tensor]:
        """Return the weights of one particle, as the backbone calls them."""
        head = f"{number}:"
        return {n.removeprefix(head): p for n, p in params.items() if n.startswith(head)}

    def support_loss(self, task: Task, support: Sequence[Example], params: Params) -> Tensor:
        """Return the sum of the particles' inner losses: its gradient at a particle is the particle's own."""
        each = [super(BayesianMAML, self).support_loss(task, support, self.particle(params, m)) for m in self._numbers]
        return torch.stack(each).sum()

    @property
    def _numbers(self) -> range:
        return range(self.config.particles)

    def clipped(self, grads: Sequence[Tensor]) -> Sequence[Tensor]:
        size = len(grads) // self.config.particles
        return [g for m in self._numbers for g in super(BayesianMAML, self).clipped(grads[m * size : (m + 1) * size])]

    def update(self, params: Params, grads: Sequence[Tensor], step: int, loss: Tensor) -> dict[str, Tensor]:
        size = len(grads) // self.config.particles
        values = list(params.values())
        rows = [slice(m * size, (m + 1) * size) for m in self._numbers]
        theta, ascent = (torch.stack([flat(x[row]) for row in rows]) for x in (values, [-g for g in grads]))
        moved = theta + self.config.inner_lr * stein_direction(theta, ascent, kernel_width(theta))
        return unflatten_like(moved.flatten(), params)

    def outer(self, episode: Episode) -> tuple[Tensor, Tensor]:
        """Weight: 1 with the chaser, else the queries' supervised tokens (queries, for other objectives)."""
        task, support, theta = episode.task, episode.support, self.start()
        chaser = last(self.steps(task, support, theta, self.config.order), theta)
        if self.config.outer_loss == "queries":
            parts = [self.query_loss(episode, self.particle(chaser, m)) for m in self._numbers]
            return torch.stack([loss for loss, _ in parts]).mean(), parts[0][1]
        leader = self.leader(episode, chaser)
        distance = torch.stack([(p - leader[n]).square().sum() for n, p in chaser.items()]).sum()
        return distance, torch.ones((), device=distance.device)

    def leader(self, episode: Episode, chaser: Params) -> dict[str, Tensor]:
        """Return the chaser after `leader_steps` more steps, on support and queries; no gradient goes into it."""
        examples = (*episode.support, *episode.queries)
        after = last(self.steps(episode.task, examples, chaser, 0, self.config.leader_steps), chaser)
        return {n: p.detach() for n, p in after.items()}

    def adapt(self, task: Task, support: Sequence[Example]) -> AveragePredictor:
        self.check_serves(task)
        after = self.inner(task, support)
        return AveragePredictor([self.model.predictor(task, support, self.particle(after, m)) for m in self._numbers])


def stein_direction(theta: Tensor, ascent: Tensor, width: Tensor) -> Tensor:
    """SVGD's direction `[M, d]` for particles `[M, d]`, the gradients `[M, d]` of their log-densities and the kernel's
    width h."""
    differences = theta[None] - theta[:, None]  # [j, m]: theta_m - theta_j
    kernel = torch.exp(-differences.square().sum(-1) / width)
    repulsion = (2 / width) * (kernel[..., None] * differences).sum(0)
    return (kernel.T @ ascent + repulsion) / len(theta)


def kernel_width(theta: Tensor) -> Tensor:
    """h: the median squared distance of two particles over log M (Liu and Wang's heuristic). That is 0/0 for one
    particle and 0 for identical ones, who repel nobody at any width: 1 there."""
    count = len(theta)
    if count == 1:
        return theta.new_ones(())
    one, other = torch.triu_indices(count, count, 1)
    width = (theta[one] - theta[other]).square().sum(1).median() / math.log(count)
    return torch.where(width > 0, width, torch.ones_like(width))
