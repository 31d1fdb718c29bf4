"""Amortised Bayesian meta-learning of LoRA weights (Zhang, Snell and Griffiths 2025, arXiv 2508.14285), after Ravi and
Beatson 2019, Amortized Bayesian meta-learning.

Learned are a mean mu (the adapters) and deviations sigma. They are the prior of a task's own weights phi, and where its
posterior starts, which a few steps on the support set move (that is the amortised inference):

    p(phi | theta) = N(mu, sigma^2)        q(phi | S) = N(m, s^2), from m, s = mu, sigma by steps on
    mean loss of S at a draw of q + beta KL(q || p) / supervised tokens of S

The outer loss is the bound: the loss of the support set and the queries at a draw of q, plus beta KL(q || p), plus
gamma times -log p(theta), where p(theta) is N(0, 1) for mu and N(log spread, 1) for log sigma. At test, members are
drawn from q and their answers averaged. The paper's Gaussians are over the products B A, with four pairs of adapters a
layer; here they are over the entries of A and B, as in PLATIPUS, so that a draw is an ordinary adapter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Literal

import torch
from torch import Tensor, nn

from metaicl.lm.backbone import Backbone, Params
from metaicl.methods.base import seeded, unordered_keys
from metaicl.methods.bayesian.platipus import drawn, gaussian_kl
from metaicl.methods.gradient.base import FEW_WEIGHTS, GradientMethod
from metaicl.methods.gradient.inner_loop import descend, last
from metaicl.methods.predictor import AveragePredictor
from task_suites.core.ranges import Count, NonNegative, Positive
from task_suites.episodes import Episode
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Task


class ABMLL(GradientMethod):
    """Amortised Bayesian meta-learning of LoRA weights. See the module's docstring."""

    label = "ABMLL"
    note = "a Gaussian over a task's LoRA weights, inferred from the shots by gradient steps, answers averaged"
    paper = "Zhang, Snell and Griffiths 2025, arXiv 2508.14285"
    adapters = FEW_WEIGHTS

    @dataclass(frozen=True)
    class Config(GradientMethod.Config):
        """The options of amortised Bayesian meta-learning.

        Attributes:
            members: how many draws of the posterior answer at test.
            spread: the deviations at the start of meta-training, and the middle of their prior.
            beta: the weight of KL(q || p), inside and outside: how near a task's weights stay to the global ones. At 1
                it is the bound; weights are many more than tokens, so that a task then moves hardly at all.
            gamma: the weight of the prior of the global weights.
            outer_loss: what the outer loss predicts: "all" is support set and queries, "queries" the latter only.
        """

        inner_lr: NonNegative = 1.0
        members: Count = 4
        spread: Positive = 0.02
        beta: NonNegative = 1e-3
        gamma: NonNegative = 1e-2
        outer_loss: Literal["all", "queries"] = "all"

    config: Config

    def __init__(self, backbone: Backbone, form: PromptFormat, config: Config):
        super().__init__(backbone, form, config)
        spread = math.log(config.spread)
        self.log_sigma = nn.ParameterList(torch.full_like(p.detach(), spread) for p in backbone.trainable().values())

    def start(self) -> dict[str, Tensor]:
        """Return the prior, as one set of weights: `mean:name`, then `width:name`, the logs of the deviations."""
        means = self.backbone.trainable()
        widths = {f"width:{n}": p for n, p in zip(means, self.log_sigma, strict=True)}
        return {f"mean:{n}": p for n, p in means.items()} | widths

    def draw(self, posterior: Params, *names: object) -> dict[str, Tensor]:
        """Return a draw of a Gaussian, as the backbone calls its weights; a function of the names."""
        means, widths = split(posterior)
        return drawn(means, widths.values(), seeded("abmll", *names))

    def divergence(self, posterior: Params, prior: Params) -> Tensor:
        """KL(posterior || prior) in nats."""
        (mean_q, width_q), (mean_p, width_p) = split(posterior), split(prior)
        return torch.stack([gaussian_kl(mean_q[n], width_q[n], mean_p[n], width_p[n]) for n in mean_q]).sum()

    def pull(self, posterior: Params, prior: Params) -> Tensor:
        """beta KL(posterior || prior); at beta 0 the divergence, which then may be infinite, is not looked at."""
        beta = self.config.beta
        return beta * self.divergence(posterior, prior) if beta else torch.zeros((), device=self.backbone.device)

    def global_prior(self) -> Tensor:
        """-log p(theta) in nats, without its constant."""
        means, widths = split(self.start())
        parts = [p.square().sum() for p in means.values()]
        parts += [(p - math.log(self.config.spread)).square().sum() for p in widths.values()]
        return torch.stack(parts).sum() / 2

    def descend(
        self, task: Task, batches: Sequence[Sequence[Example]], start: Params, order: int
    ) -> Iterator[dict[str, Tensor]]:
        """Return the posterior after each inner step, one on each of these batches; every step has a draw of its
        own."""
        turn, prior = chain(batches, batches[-1:]), self.start()  # the last one is computed again after its step
        if order == 0:
            prior = {n: p.detach() for n, p in prior.items()}
        number = count()

        def loss_of(posterior: Params) -> Tensor:
            support = next(turn)
            phi = self.draw(posterior, unordered_keys(support), next(number))
            loss, weight = self.model.support_loss(task, support, phi)
            return (loss + self.pull(posterior, prior)) / weight

        return descend(loss_of, start, self.rule(batches[0] if batches else ()), len(batches), order, task.name)

    def outer(self, episode: Episode) -> tuple[Tensor, Tensor]:
        """Weight: the supervised tokens (queries, for other objectives) of what is predicted."""
        task, support, prior = episode.task, episode.support, self.start()
        posterior = last(self.steps(task, support, prior, self.config.order), prior)
        phi = self.draw(posterior, episode.key, "outer")
        loss, weight = self.query_loss(episode, phi)
        if self.config.outer_loss == "all" and support:
            more, its_weight = self.model.support_loss(task, support, phi)
            loss, weight = loss + more, weight + its_weight
        return loss + self.pull(posterior, prior) + self.config.gamma * self.global_prior(), weight

    def adapt(self, task: Task, support: Sequence[Example]) -> AveragePredictor:
        """Members by number, whatever the order of the support set."""
        self.check_serves(task)
        posterior, names = self.inner(task, support), unordered_keys(support)
        draws = [self.draw(posterior, names, "member", m) for m in range(self.config.members)]
        return AveragePredictor([self.model.predictor(task, support, phi) for phi in draws])


def split(weights: Params) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return (means, logs of deviations) of a Gaussian, as the backbone calls its weights."""
    return tuple(  # type: ignore[return-value]
        {n.removeprefix(head): p for n, p in weights.items() if n.startswith(head)} for head in ("mean:", "width:")
    )
