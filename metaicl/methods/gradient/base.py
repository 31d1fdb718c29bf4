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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from metaicl.lm.attention.second_order import twice_differentiable
from metaicl.lm.backbone import Backbone, Params
from metaicl.methods.base import EVERY_FORM, RATE, Method, Space
from metaicl.methods.gradient.adapted import AdaptedModel
from metaicl.methods.gradient.inner_loop import Update, clipped, descend, gradient_step, last, leaves
from metaicl.methods.in_context.answer_loss import Objective
from metaicl.methods.predictor import Predictor
from task_suites.core.ranges import Natural, NonNegative, Order
from task_suites.episodes import Episode
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Task

# At most 100,000 weights, in the upper third of the default backbone: what second derivatives, particles and
# optimisers that are models can hold on a small machine. They have to move further than all adapters do, so the methods
# that choose them have an inner_lr of 1.0 (docs/experiments.md).
FEW_WEIGHTS: Mapping[str, Any] = {"lora_r": 4, "target_modules": "query-value", "lora_layers": 10}
INNER: Space = {**RATE, "options.inner_lr": ("log", 0.03, 3.0)}


class GradientMethod(Method):
    """An inner loop of gradient steps on a support set. See the module's docstring."""

    meta_trained = True
    weights = "lora"
    serves = EVERY_FORM
    space = INNER

    @dataclass(frozen=True)
    class Config(Method.Config):
        """The options of all methods that take gradient steps on a support set.

        Attributes:
            in_context: whether the demonstrations stand in the prompt too.
            inner_steps: how many steps the inner loop takes in meta-training; 0 leaves the weights as they are.
            inner_lr: the learning rate of these steps.
            clip: the largest norm of an inner gradient; a longer one is scaled down to it. 0 scales none.
            order: 1 treats inner gradients as constants, 2 differentiates through them, which needs attention without
                fused kernels.
            objective: what inner and outer loss measure, as in `InContext`. With demonstrations in the prompt the inner
                loss is always the likelihood.
            test_steps: how many steps the inner loop takes at test; null is `inner_steps`. Finn et al. 2017 trained
                with 5 and tested with 10, Nichol et al. 2018 with 5 and 50.
        """

        in_context: bool = False
        inner_steps: Natural = 3  # what meta-training can afford; ten times as many at test are worth 30 points
        inner_lr: NonNegative = 0.3
        clip: NonNegative = 1.0
        order: Order = 1
        objective: Objective = "tokens"
        test_steps: Natural | None = 30  # where no demonstrations are in the prompt (docs/experiments.md)

    config: Config

    def __init__(self, backbone: Backbone, form: PromptFormat, config: Config):
        super().__init__(backbone, form, config)
        self.check_learns()
        self.order_free = not config.in_context
        self.model = AdaptedModel(backbone, form, config.in_context, config.objective)
        self.serves = self.model.serves

    def refusal(self, task: Task) -> str | None:
        return super().refusal(task) or self.model.refusal(task)

    def longest(self, task: Task, support: Sequence[Example], queries: Sequence[Example]) -> int:
        return self.model.longest(task, support, queries)

    def forward(self, episodes: Sequence[Episode]) -> tuple[Tensor, Tensor]:
        """Return the sum of `outer` over the episodes. What an outer loss does not touch gets a gradient of zero."""
        losses, weights = [], []
        for episode in episodes:
            with self.learning(self.config.order):
                loss, weight = self.outer(episode)
            losses.append(loss)
            weights.append(weight)
        return torch.stack(losses).sum() + self.zero_loss(), torch.stack(weights).sum()

    @abstractmethod
    def outer(self, episode: Episode) -> tuple[Tensor, Tensor]:
        """Return (outer loss sum, its weight) of one episode."""

    def update(self, params: Params, grads: Sequence[Tensor], step: int, loss: Tensor) -> dict[str, Tensor]:
        """Return the weights after inner step number `step` (from 0), from those before it, their gradients
        (clipped) and the inner loss; by default gradient descent at `inner_lr`."""
        return gradient_step(params, grads, self.config.inner_lr)

    def rule(self, support: Sequence[Example]) -> Update:
        """Return the update of one inner loop; what its steps share (a mask, a memory) is made here. Clips, then
        `update`."""

        def step(params: Params, grads: Sequence[Tensor], number: int, loss: Tensor) -> dict[str, Tensor]:
            return self.update(params, self.clipped(grads), number, loss)

        return step

    def learning(self, order: int) -> ExitStack:
        """Return the context of an inner loop: lower layers once; attention with second derivatives where `order` is
        2."""
        stack = ExitStack()
        stack.enter_context(torch.enable_grad())
        stack.enter_context(self.backbone.lower.once())
        if order == 2:
            stack.enter_context(twice_differentiable(self.backbone))
        return stack

    def support_loss(self, task: Task, support: Sequence[Example], params: Params) -> Tensor:
        """Return the mean inner loss."""
        loss, weight = self.model.support_loss(task, support, params)
        return loss / weight

    def query_loss(self, episode: Episode, params: Params) -> tuple[Tensor, Tensor]:
        """Return (loss sum, weight) of the queries' answers by these weights."""
        return self.model.query_loss(episode.task, episode.support, episode.queries, params)

    def steps(
        self, task: Task, support: Sequence[Example], start: Params, order: int = 1, count: int | None = None
    ) -> Iterator[dict[str, Tensor]]:
        """Return the weights after each inner step (`descend`); none without a support set.

        Raises:
            UserError: the inner loop diverges: its loss is no longer finite, or ten times what it was.
        """
        count = (self.config.inner_steps if count is None else count) if support else 0
        return self.descend(task, [support] * count, start, order)

    def descend(
        self, task: Task, batches: Sequence[Sequence[Example]], start: Params, order: int
    ) -> Iterator[dict[str, Tensor]]:
        """Return the weights after each inner step, one on each of these batches."""
        turn = chain(batches, batches[-1:])  # the last one is computed again after its step

        def loss_of(params: Params) -> Tensor:
            return self.support_loss(task, next(turn), params)

        rule = self.rule(batches[0] if batches else ())
        return descend(loss_of, start, rule, len(batches), order, task.name)

    def clipped(self, grads: Sequence[Tensor]) -> Sequence[Tensor]:
        """Gradients scaled down to the norm `clip` where they are longer."""
        return clipped(grads, self.config.clip)

    def inner(self, task: Task, support: Sequence[Example], start: Params | None = None) -> dict[str, Tensor]:
        """Return the weights after all steps of a test, from `start` (the meta-learned weights), as new leaves."""
        start = self.start() if start is None else start
        with self.learning(1):
            after = last(self.steps(task, support, start, 0, self.config.test_steps), start)
        return leaves(after)

    def start(self) -> dict[str, Tensor]:
        """Return the meta-learned weights from which the inner loop starts."""
        return dict(self.backbone.trainable())

    def adapt(self, task: Task, support: Sequence[Example]) -> Predictor:
        self.check_serves(task)
        return self.model.predictor(task, support, self.inner(task, support))
