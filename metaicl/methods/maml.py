"""MAML (Finn et al. 2017, arXiv 1703.03400) and its first-order form (FOMAML; Nichol et al. 2018, arXiv 1803.02999)
over the learned weights, alone or on top of in-context prompts.

The inner loop goes from the meta-weights theta to theta'; the outer loss is the queries' at theta'. At order 2 its
gradient flows back through the steps: (I - a H_S) g_Q for one. At order 1 the outer loss is
`L(theta + stop_gradient(theta' - theta))`, whose gradient at theta is the query gradient at theta'.

Two options of MAML++ (Antoniou et al. 2019, arXiv 1810.09502): the outer loss after every inner step rather than the
last one alone, and rates learned for each step and each weight tensor. The third, cosine annealing of the outer rate,
is `trainer.schedule: cosine`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from metaicl.backbone import Backbone, Params
from metaicl.methods.gradient import GradientMethod
from task_suites.episodes import Episode
from task_suites.formats import PromptFormat


class MAML(GradientMethod):
    """See the module's docstring; further arguments are `GradientMethod`'s.

    Args:
        outer_loss: "last" is the loss after the last inner step; "every" the mean of those after each step.
        learn_rates: learn a rate for each step and weight tensor, started at `inner_lr` (order 2 only: at order 1 no
            gradient reaches the rates).
    """

    def __init__(
        self,
        backbone: Backbone,
        form: PromptFormat,
        outer_loss: Literal["last", "every"] = "last",
        learn_rates: bool = False,
        order: int = 2,
        **options: Any,
    ):
        super().__init__(backbone, form, order=order, **options)
        self.outer_loss = outer_loss
        self.rates: nn.Parameter | None = None
        if learn_rates and order == 2:
            self.rates = nn.Parameter(torch.full((max(1, self.inner_steps), len(self.start())), self.inner_lr))

    def update(self, params: Params, grads: Sequence[Tensor], step: int, loss: Tensor) -> dict[str, Tensor]:
        if self.rates is None:
            return super().update(params, grads, step, loss)
        pairs = zip(params.items(), grads, self.rates[step], strict=True)
        return {n: p - rate * g for (n, p), g, rate in pairs}

    def outer(self, episode: Episode) -> tuple[Tensor, Tensor]:
        """Weight: the queries' supervised tokens (queries, for other objectives)."""
        theta = self.start()
        after = list(self.steps(episode.task, episode.support, theta, self.order)) or [theta]
        if self.order == 1:
            after = [{n: p + (fast[n] - p).detach() for n, p in theta.items()} for fast in after]
        if self.outer_loss == "last":
            after = after[-1:]
        losses, weights = zip(*(self.query_loss(episode, params) for params in after), strict=True)
        return torch.stack(losses).mean(0), weights[0]
