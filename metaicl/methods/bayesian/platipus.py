"""PLATIPUS (Finn, Xu and Levine 2018, arXiv 1806.02817): MAML with a distribution over starts.

Learned are a mean mu (the adapters), the deviations sigma of a prior and v of a posterior, and the rates g_p and g_q of
the gradient step that centres each of them on a task:

    p(theta | S) = N(mu - g_p grad L_S(mu), sigma^2)        q(theta | Q) = N(mu - g_q grad L_Q(mu), v^2)

In meta-training theta is drawn from q, takes the inner steps on the support set to phi, and the negative evidence bound
L_Q(phi) + KL(q || p) is minimised. At test, where Q is not known, members are drawn from p and their answers averaged.
L_S and L_Q in the means are the inner loss, a mean; L_Q(phi) is the sum over the queries' tokens, as the bound has it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from metaicl.lm.backbone import Backbone, Params
from metaicl.methods.base import seeded, unordered_keys
from metaicl.methods.gradient.base import FEW_WEIGHTS, GradientMethod
from metaicl.methods.gradient.inner_loop import gradient_step, gradients, last
from metaicl.methods.predictor import AveragePredictor
from task_suites.core.ranges import Count, NonNegative, Order, Positive
from task_suites.episodes import Episode
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Task


class PLATIPUS(GradientMethod):
    """PLATIPUS. See the module's docstring."""

    label = "PLATIPUS"
    note = "MAML from starts drawn from a learned Gaussian, answers averaged"
    paper = "Finn, Xu and Levine 2018, arXiv 1806.02817"
    adapters = FEW_WEIGHTS

    @dataclass(frozen=True)
    class Config(GradientMethod.Config):
        """The options of PLATIPUS.

        Attributes:
            members: how many starts are drawn from the prior at test.
            spread: the deviations at the start of meta-training.
            kl_weight: the weight of KL(q || p) in the loss; 1 is the bound. The adapters have many more entries than a
                task has tokens, so the bound soon makes q and p one; a smaller weight lets a task's queries say more.
        """

        inner_lr: NonNegative = 1.0
        order: Order = 2
        members: Count = 4
        spread: Positive = 0.01
        kl_weight: NonNegative = 1.0

    config: Config

    def __init__(self, backbone: Backbone, form: PromptFormat, config: Config):
        super().__init__(backbone, form, config)
        start, spread = list(self.start().values()), math.log(config.spread)
        self.log_sigma = nn.ParameterList(torch.full_like(p.detach(), spread) for p in start)
        self.log_v = nn.ParameterList(torch.full_like(p.detach(), spread) for p in start)
        self.prior_rate = nn.Parameter(torch.tensor(config.inner_lr))
        self.posterior_rate = nn.Parameter(torch.tensor(config.inner_lr))

    def outer(self, episode: Episode) -> tuple[Tensor, Tensor]:
        """Weight: the queries' supervised tokens (queries, for other objectives)."""
        prior = self.centre(episode.task, episode.support, self.prior_rate, self.config.order)
        posterior = self.centre(episode.task, episode.queries, self.posterior_rate, self.config.order)
        theta = drawn(posterior, self.log_v, seeded("platipus", episode.key))
        phi = last(self.steps(episode.task, episode.support, theta, self.config.order), theta)
        loss, weight = self.query_loss(episode, phi)
        return loss + self.config.kl_weight * self.divergence(posterior, prior), weight

    def centre(self, task: Task, examples: Sequence[Example], rate: Tensor, order: int) -> dict[str, Tensor]:
        """mu after one step at `rate` on the inner loss of the examples: the mean of the prior or of the posterior."""
        mu = self.start()
        if not examples:
            return mu
        grads = gradients(self.support_loss(task, examples, mu), mu, order)
        return gradient_step(mu, self.clipped(grads), [rate] * len(grads))

    def divergence(self, posterior: Params, prior: Params) -> Tensor:
        """KL(q || p) in nats, from the two means."""
        parts = zip(posterior.values(), self.log_v, prior.values(), self.log_sigma, strict=True)
        return torch.stack([gaussian_kl(*part) for part in parts]).sum()

    def adapt(self, task: Task, support: Sequence[Example]) -> AveragePredictor:
        """Members by number, whatever the order of the support set."""
        self.check_serves(task)
        with self.learning(1):
            prior = {n: p.detach() for n, p in self.centre(task, support, self.prior_rate, order=1).items()}
        names = unordered_keys(support)
        starts = [drawn(prior, self.log_sigma, seeded("platipus", names, m)) for m in range(self.config.members)]
        return AveragePredictor(
            [self.model.predictor(task, support, self.inner(task, support, start)) for start in starts]
        )


def drawn(mean: Params, log_deviation: Iterable[Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Return a draw from the diagonal Gaussian, by reparameterisation: a function of mean and deviation."""
    noise = [torch.randn(p.shape, generator=generator, dtype=p.dtype).to(p.device) for p in mean.values()]
    return {n: p + s.exp() * e for (n, p), s, e in zip(mean.items(), log_deviation, noise, strict=True)}


def gaussian_kl(mean_q: Tensor, log_q: Tensor, mean_p: Tensor, log_p: Tensor) -> Tensor:
    """KL(N(mean_q, exp(log_q)^2) || N(mean_p, exp(log_p)^2)) in nats, summed over entries."""
    scaled = torch.exp(2 * (log_q - log_p)) + ((mean_q - mean_p) * torch.exp(-log_p)).square()
    return (log_p - log_q + (scaled - 1) / 2).sum()
