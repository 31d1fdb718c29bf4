"""MAML (Finn et al. 2017, arXiv 1703.03400) and its first-order form (FOMAML; Nichol et al. 2018, arXiv 1803.02999)
over the learned weights, alone or on top of in-context prompts.

The inner loop goes from the meta-weights theta to theta'; the outer loss is the queries' at theta'. At order 2 its
gradient flows back through the steps: (I - a H_S) g_Q for one. At order 1 the steps' gradients are constants, and the
outer gradient at theta is the query gradient at theta'.

Three options of MAML++ (Antoniou et al. 2019, arXiv 1810.09502): the outer loss after every inner step rather than the
last one alone, its weights annealed towards the last; and rates learned for each step and each weight tensor. A fourth,
cosine annealing of the outer rate, is `trainer.lr_scheduler_type: cosine`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from metaicl.lm.backbone import Backbone, Params
from metaicl.methods.base import ReadUnless
from metaicl.methods.gradient.base import GradientMethod, last
from metaicl.methods.gradient.inner_loop import gradient_step
from task_suites.core.errors import UserError
from task_suites.core.ranges import Natural, Order
from task_suites.episodes import Episode
from task_suites.formats.prompt_format import PromptFormat


class MAML(GradientMethod):
    """See the module's docstring; further arguments are `GradientMethod`'s.

    Args:
        outer_loss: "last" is the loss after the last inner step; "every" the mean of those after each step.
        anneal: with "every", the training episodes (by their number in the run) over which the weights of the steps
            go evenly from equal ones to the last step alone; 0 leaves them equal.
        learn_rates: learn a rate for each step and weight tensor, started at `inner_lr`; more steps at test take the
            last one's.
    """

    read_unless: ClassVar[ReadUnless] = {"anneal": ("outer_loss", "last")}

    def __init__(
        self,
        backbone: Backbone,
        form: PromptFormat,
        outer_loss: Literal["last", "every"] = "last",
        anneal: Natural = 0,
        learn_rates: bool = False,
        order: Order = 2,
        **options: Any,
    ):
        super().__init__(backbone, form, order=order, **options)
        if outer_loss not in ("last", "every"):
            raise UserError("outer_loss is out of range", found=outer_loss, expected="last or every")
        self.outer_loss, self.anneal = outer_loss, anneal
        self.rates: nn.Parameter | None = None
        if learn_rates:
            self.rates = nn.Parameter(torch.full((max(1, self.inner_steps), len(self.start())), self.inner_lr))

    def update(self, params: Params, grads: Sequence[Tensor], step: int, loss: Tensor) -> dict[str, Tensor]:
        if self.rates is None:
            return super().update(params, grads, step, loss)
        return gradient_step(params, grads, self.rates[min(step, len(self.rates) - 1)].unbind())

    def outer(self, episode: Episode) -> tuple[Tensor, Tensor]:
        """Weight: the queries' supervised tokens (queries, for other objectives)."""
        theta = self.start()
        steps = self.steps(episode.task, episode.support, theta, self.order)
        after = list(steps) or [theta] if self.outer_loss == "every" else [last(steps, theta)]
        shares = self.importance(len(after), episode.key[3])
        losses, weights = zip(
            *(self.query_loss(episode, params) for params, share in zip(after, shares, strict=True) if share),
            strict=True,
        )
        total = torch.stack([share * loss for share, loss in zip(filter(None, shares), losses, strict=True)]).sum()
        return total, weights[-1]

    def importance(self, steps: int, number: int) -> list[float]:
        """The weight of the outer loss after each step in training episode `number`; they sum to 1."""
        done = 1.0 if self.outer_loss == "last" else min(1.0, number / self.anneal) if self.anneal else 0.0
        return [(1 - done) / steps + (done if step == steps - 1 else 0.0) for step in range(steps)]
