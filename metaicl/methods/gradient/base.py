"""What the gradient-based methods share: an inner loop that takes steps on a support set, from the meta-learned weights
to a task's own, and the losses inside and outside of it.

The learned weights are the backbone's adapters (or all its weights); what they answer with, and what their losses are,
is metaicl/methods/gradient/adapted.py. Without `in_context` a demonstration is a training item of its own, and queries
are answered without demonstrations; with it the inner loss is the likelihood of all demonstrations' answers, each given
those before it, in one pass, and queries are answered by the adapted weights with the demonstrations in the prompt too.

An algorithm says how a step goes (`update`, or `rule` where the steps of a loop share something) and what the outer
loss is (`outer`); the loop itself, and what `order` means, is metaicl/methods/gradient/inner_loop.py. Layers below the
first adapter run once an episode (metaicl/lm/lower_layers.py).
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import chain

import torch
from torch import Tensor

from metaicl.lm.backbone import Backbone, Params
from metaicl.methods.base import Method, Predictor
from metaicl.methods.gradient.adapted import AdaptedModel
from metaicl.methods.gradient.inner_loop import Update, clipped, descend, gradient_step, leaves
from metaicl.methods.in_context.icl import Objective
from task_suites.core.errors import UserError
from task_suites.core.ranges import Natural, NonNegative, Order
from task_suites.episodes import Episode
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Example, Task


class GradientMethod(Method):
    """See the module's docstring.

    Args:
        in_context: keep the demonstrations in the prompt.
        inner_steps: steps of the inner loop in meta-training; 0 leaves the weights as they are.
        inner_lr: their rate.
        clip: a longer gradient is scaled down to this norm before its step; 0 takes gradients as they are.
        order: 1 treats inner gradients as constants, 2 differentiates through them (attention without fused kernels).
        objective: of inner and outer loss (`InContext`); behind a prompt the inner loss is the likelihood all the same.
        test_steps: steps at test where they are not `inner_steps` (Finn et al. 2017 trained with 5 and tested with 10,
            Nichol et al. 2018 with 5 and 50).
    """

    trainable = True

    def __init__(
        self,
        backbone: Backbone,
        form: PromptFormat,
        in_context: bool = False,
        inner_steps: Natural = 3,
        inner_lr: NonNegative = 0.3,
        clip: NonNegative = 1.0,
        order: Order = 1,
        objective: Objective = "tokens",
        test_steps: Natural | None = None,
    ):
        super().__init__(backbone, form)
        if not backbone.trainable():
            raise UserError(
                f"{type(self).__name__} needs weights to adapt", found="a frozen backbone", expected="lora or full"
            )
        self.in_context, self.inner_steps, self.inner_lr, self.clip = in_context, inner_steps, inner_lr, clip
        self.order, self.test_steps = order, inner_steps if test_steps is None else test_steps
        self.order_free = not in_context
        self.model = AdaptedModel(backbone, form, in_context, objective)
        self.serves = self.model.serves

    def refusal(self, task: Task) -> str | None:
        return super().refusal(task) or self.model.refusal(task)

    def longest(self, task: Task, support: Sequence[Example], queries: Sequence[Example]) -> int:
        return self.model.longest(task, support, queries)

    def forward(self, episodes: Sequence[Episode]) -> tuple[Tensor, Tensor]:
        """The sum of `outer` over the episodes. What an outer loss does not touch gets a gradient of zero."""
        losses, weights = [], []
        for episode in episodes:
            with self.learning(self.order):
                loss, weight = self.outer(episode)
            losses.append(loss)
            weights.append(weight)
        return torch.stack(losses).sum() + self.zero(), torch.stack(weights).sum()

    @abstractmethod
    def outer(self, episode: Episode) -> tuple[Tensor, Tensor]:
        """(outer loss sum, its weight) of one episode."""

    def update(self, params: Params, grads: Sequence[Tensor], step: int, loss: Tensor) -> dict[str, Tensor]:
        """The weights after inner step number `step` (from 0), from those before it, their gradients (clipped) and
        the inner loss; by default gradient descent at `inner_lr`."""
        return gradient_step(params, grads, self.inner_lr)

    def rule(self, support: Sequence[Example]) -> Update:
        """The update of one inner loop; what its steps share (a mask, a memory) is made here. Clips, then `update`."""

        def step(params: Params, grads: Sequence[Tensor], number: int, loss: Tensor) -> dict[str, Tensor]:
            return self.update(params, self.clipped(grads), number, loss)

        return step

    def learning(self, order: int) -> ExitStack:
        """The context of an inner loop: lower layers once; attention with second derivatives where `order` is 2."""
        stack = ExitStack()
        stack.enter_context(torch.enable_grad())
        stack.enter_context(self.backbone.lower.once())
        if order == 2:
            stack.enter_context(self.backbone.twice_differentiable())
        return stack

    def support_loss(self, task: Task, support: Sequence[Example], params: Params) -> Tensor:
        """The mean inner loss."""
        loss, weight = self.model.support_loss(task, support, params)
        return loss / weight

    def query_loss(self, episode: Episode, params: Params) -> tuple[Tensor, Tensor]:
        """(loss sum, weight) of the queries' answers by these weights."""
        return self.model.query_loss(episode.task, episode.support, episode.queries, params)

    def steps(
        self, task: Task, support: Sequence[Example], start: Params, order: int = 1, count: int | None = None
    ) -> Iterator[dict[str, Tensor]]:
        """The weights after each inner step (`descend`); none without a support set.

        Raises:
            UserError: the inner loop diverges: its loss is no longer finite, or ten times what it was.
        """
        count = (self.inner_steps if count is None else count) if support else 0
        return self.descend(task, [support] * count, start, order)

    def descend(
        self, task: Task, batches: Sequence[Sequence[Example]], start: Params, order: int
    ) -> Iterator[dict[str, Tensor]]:
        """The weights after each inner step, one on each of these batches."""
        turn = chain(batches, batches[-1:])  # the last one is asked again after its step

        def loss_of(params: Params) -> Tensor:
            return self.support_loss(task, next(turn), params)

        rule = self.rule(batches[0] if batches else ())
        return descend(loss_of, start, rule, len(batches), order, task.name)

    def clipped(self, grads: Sequence[Tensor]) -> Sequence[Tensor]:
        """Gradients scaled down to the norm `clip` where they are longer."""
        return clipped(grads, self.clip)

    def inner(self, task: Task, support: Sequence[Example], start: Params | None = None) -> dict[str, Tensor]:
        """The weights after all steps of a test, from `start` (the meta-learned weights), as new leaves."""
        start = self.start() if start is None else start
        with self.learning(1):
            after = last(self.steps(task, support, start, 0, self.test_steps), start)
        return leaves(after)

    def start(self) -> dict[str, Tensor]:
        """The meta-learned weights from which the inner loop starts."""
        return dict(self.backbone.trainable())

    def adapt(self, task: Task, support: Sequence[Example]) -> Predictor:
        self.check_serves(task)
        return self.model.predictor(task, support, self.inner(task, support))


def last(steps: Iterable[Params], start: Params) -> Params:
    """The weights after the last of some steps, or the start; those between are not kept."""
    return next(iter(deque(steps, maxlen=1)), start)
