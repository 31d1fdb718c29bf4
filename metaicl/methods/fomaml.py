"""FOMAML over the learned weights (Finn et al. 2017, arXiv 1703.03400; first order: Nichol et al. 2018, 1803.02999),
alone or on top of in-context prompts.

The inner loop takes SGD steps on the support set from the meta-weights theta to theta'. The outer loss is
`L(theta + stop_gradient(theta' - theta))` on the query set, whose gradient at theta is the query gradient at theta'.

With `in_context` the inner loss is the likelihood of all demonstrations' answers, each given those before it, in one
pass; queries are then answered by the adapted weights with the demonstrations in the prompt too.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from metaicl.backbone import Backbone
from metaicl.methods.base import Method
from metaicl.methods.in_context import InContext
from metaicl.scoring import PromptScorer
from task_suites.episodes import Episode
from task_suites.errors import UserError
from task_suites.formats import PromptFormat
from task_suites.task import Example, Task


class FOMAML(Method):
    """See the module's docstring.

    Args:
        in_context: keep the demonstrations in the prompt.
        inner_steps: steps of the inner loop, in meta-training and at test; 0 is the in-context method itself.
        inner_lr: their rate, for gradients scaled to norm `clip` where they are longer.
        clip: longest gradient that a step follows unscaled.
    """

    trainable = True

    def __init__(
        self,
        backbone: Backbone,
        form: PromptFormat,
        in_context: bool = False,
        inner_steps: int = 3,
        inner_lr: float = 0.1,
        clip: float = 1.0,
    ):
        super().__init__(backbone, form)
        if not backbone.trainable():
            raise UserError("FOMAML needs weights to adapt", found="a frozen backbone", expected="lora or full")
        self.in_context, self.inner_steps, self.inner_lr, self.clip = in_context, inner_steps, inner_lr, clip
        self.model = InContext(backbone, form, demonstrations=in_context)
        self.serves = self.model.serves

    def forward(self, episodes: Sequence[Episode]) -> tuple[Tensor, Tensor]:
        """Weight: supervised tokens of the queries."""
        losses, weights = zip(*(self._outer(e) for e in episodes), strict=True)
        return torch.stack(losses).sum(), torch.stack(weights).sum()

    def _outer(self, episode: Episode) -> tuple[Tensor, Tensor]:
        fast = self.inner(episode.task, episode.support)
        theta = self.backbone.trainable()
        moved = {n: p + (fast[n] - p).detach() for n, p in theta.items()}
        shown = episode.support if self.in_context else ()
        return self.model.loss([(episode.task, shown, episode.queries)], moved)

    @torch.enable_grad()
    def inner(self, task: Task, support: Sequence[Example]) -> dict[str, Tensor]:
        """The adapted weights theta', detached from theta.

        Raises:
            UserError: the inner loss is no longer finite.
        """
        fast = {n: p.detach().clone().requires_grad_() for n, p in self.backbone.trainable().items()}
        for step in range(self.inner_steps if support else 0):
            if self.in_context:
                loss, weight = self.model.demonstration_loss(task, support, fast)
            else:
                loss, weight = self.model.loss([(task, (), support)], fast)
            if not torch.isfinite(loss):
                raise UserError(
                    f"the inner loop diverged on task {task.name}",
                    found=f"loss {float(loss)} at inner step {step + 1}",
                    fix="Lower inner_lr or inner_steps.",
                )
            grads = torch.autograd.grad(loss / weight, list(fast.values()))
            norm = torch.sqrt(torch.stack([g.square().sum() for g in grads]).sum())
            rate = self.inner_lr * torch.clamp(self.clip / (norm + 1e-12), max=1.0)
            fast = {n: (p - rate * g).detach().requires_grad_() for (n, p), g in zip(fast.items(), grads, strict=True)}
        return {n: p.detach() for n, p in fast.items()}

    def adapt(self, task: Task, support: Sequence[Example]) -> PromptScorer:
        self.check_serves(task)
        return self.model.predictor(task, support, self.inner(task, support))
