"""MAML (Finn et al. 2017, arXiv 1703.03400) and its first-order form (FOMAML; Nichol et al. 2018, arXiv 1803.02999)
over the learned weights, by themselves or on top of in-context prompts.

The inner loop goes from the meta-weights theta to theta'; the outer loss is the queries' at theta'. At order 2 its
gradient flows back through the steps: (I - a H_S) g_Q for one. At order 1 the steps' gradients are constants, and the
outer gradient at theta is the query gradient at theta'.

Three options of MAML++ (Antoniou et al. 2019, arXiv 1810.09502): the outer loss after every inner step rather than the
last one only, its weights annealed towards the last; and rates learned for each step and each weight tensor. A fourth,
cosine annealing of the outer rate, is `lr_scheduler_type: cosine`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from metaicl.lm.backbone import Backbone, Params
from metaicl.methods.base import EMPTY
from metaicl.methods.gradient.base import FEW_WEIGHTS, GradientMethod
from metaicl.methods.gradient.inner_loop import gradient_step, last
from metaicl.methods.options import ReadUnless
from task_suites.core.ranges import Natural, NonNegative, Order
from task_suites.episodes import Episode
from task_suites.formats.prompt_format import PromptFormat


class MAML(GradientMethod):
    """MAML of second order. See the module's docstring."""

    label = "MAML"
    note = "FOMAML with the second derivatives"
    paper = "Finn et al. 2017, arXiv 1703.03400"
    adapters = FEW_WEIGHTS

    @dataclass(frozen=True)
    class Config(GradientMethod.Config):
        """The options of MAML.

        Attributes:
            outer_loss: "last" is the loss after the last inner step; "every" is the mean of those after each step.
            anneal: with "every": over this number of training episodes, equal weights of the steps change evenly to the
                last step only; 0 keeps them equal.
            learn_rates: whether a rate is learned for each step and weight tensor, starting at `inner_lr`. Further
                steps at test use the rate of the last one.
        """

        inner_lr: NonNegative = 1.0
        order: Order = 2
        outer_loss: Literal["last", "every"] = "last"
        anneal: Natural = 0
        learn_rates: bool = False
        read_unless: ClassVar[ReadUnless] = {"anneal": ("outer_loss", "last")}

    config: Config

    def __init__(self, backbone: Backbone, form: PromptFormat, config: Config):
        super().__init__(backbone, form, config)
        self.rates: nn.Parameter | None = None
        if config.learn_rates:
            self.rates = nn.Parameter(torch.full((max(1, config.inner_steps), len(self.start())), config.inner_lr))

    def update(self, params: Params, grads: Sequence[Tensor], step: int, loss: Tensor) -> dict[str, Tensor]:
        if self.rates is None:
            return super().update(params, grads, step, loss)
        return gradient_step(params, grads, self.rates[min(step, len(self.rates) - 1)].unbind())

    def outer(self, episode: Episode) -> tuple[Tensor, Tensor]:
        """Weight: the queries' supervised tokens (queries, for other objectives)."""
        theta = self.start()
        steps = self.steps(episode.task, episode.support, theta, self.config.order)
        after = list(steps) or [theta] if self.config.outer_loss == "every" else [last(steps, theta)]
        shares = self.importance(len(after), episode.key[3])
        losses, weights = zip(
            *(self.query_loss(episode, params) for params, share in zip(after, shares, strict=True) if share),
            strict=True,
        )
        total = torch.stack([share * loss for share, loss in zip(filter(None, shares), losses, strict=True)]).sum()
        return total, weights[-1]

    def importance(self, steps: int, number: int) -> list[float]:
        """Return the weight of the outer loss after each step in training episode `number`; they sum to 1."""
        anneal = self.config.anneal
        done = 1.0 if self.config.outer_loss == "last" else min(1.0, number / anneal) if anneal else 0.0
        return [(1 - done) / steps + (done if step == steps - 1 else 0.0) for step in range(steps)]


class FOMAML(MAML):
    """First-order MAML, over all adapters."""

    label = "FOMAML"
    note = "meta-trained start, gradient steps on the demonstrations"
    paper = "Finn et al. 2017, arXiv 1703.03400; Nichol et al. 2018, arXiv 1803.02999"
    adapters = EMPTY

    @dataclass(frozen=True)
    class Config(MAML.Config):
        inner_lr: NonNegative = 0.3
        order: Order = 1


class MAMLInContext(MAML):
    """MAML with the demonstrations in the prompt."""

    label = "MAML + prompt"
    note = "FOMAML + prompt with the second derivatives"

    @dataclass(frozen=True)
    class Config(MAML.Config):
        in_context: bool = True
        test_steps: Natural | None = None


class FOMAMLInContext(FOMAML):
    """First-order MAML with the demonstrations in the prompt."""

    label = "FOMAML + prompt"
    note = "demonstrations in the prompt and gradient steps on them"

    @dataclass(frozen=True)
    class Config(FOMAML.Config):
        in_context: bool = True
        test_steps: Natural | None = None
