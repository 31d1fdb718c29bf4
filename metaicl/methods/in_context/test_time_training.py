"""Test-time training (Akyurek et al. 2024, arXiv 2411.07279): LoRA weights of a task's own, trained on in-context
episodes that are made of its demonstrations, then in-context learning with these weights.

An episode leaves one demonstration out, to be answered given the others in a drawn order; the loss is on its answer
and, with `supervise` all, on the others' answers too, each given those before it. Each demonstration is left out once
before any is left out again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from metaicl.lm.backbone import Backbone
from metaicl.methods.base import Space, support_keys
from metaicl.methods.in_context.icl import InContext
from metaicl.methods.predictor import Predictor
from task_suites.core.errors import UserError, counted
from task_suites.core.ranges import Count, Natural, NonNegative
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Task


class TestTimeTraining(InContext):
    """Test-time training. See the module's docstring."""

    __test__ = False  # pytest takes names that begin with Test for tests
    label = "Test-time training"
    note = "LoRA trained on leave-one-out episodes of the demonstrations, then in-context learning"
    paper = "Akyurek et al. 2024, arXiv 2411.07279"
    weights = "lora"
    space: ClassVar[Space] = {"options.lr": ("log", 1e-4, 1e-2), "options.steps": ("int", 2, 30)}

    @dataclass(frozen=True)
    class Config(InContext.Config):
        """The options of test-time training.

        Attributes:
            steps: how many steps AdamW takes; 0 is in-context learning.
            lr: the learning rate of AdamW, constant.
            episodes: how many leave-one-out episodes a step has.
        """

        supervise: Literal["queries", "all"] = "all"
        steps: Natural = 8
        lr: NonNegative = 1e-3
        episodes: Count = 2

    config: Config

    def __init__(self, backbone: Backbone, form: PromptFormat, config: Config):
        super().__init__(backbone, form, config)
        self.check_learns()

    def adapt(self, task: Task, support: Sequence[Example]) -> Predictor:
        self.check_serves(task)
        return self.predictor(task, support, self.tuned(task, support))

    def tuned(self, task: Task, support: Sequence[Example]) -> dict[str, Tensor]:
        """Return the weights after all steps; those of the model without a support set.

        Raises:
            UserError: the loss is no longer finite.
        """
        params = {n: p.detach().clone().requires_grad_() for n, p in self.backbone.trainable().items()}
        leaves, episodes = list(params.values()), self.episodes(task, support)
        optimizer = torch.optim.AdamW(leaves, lr=self.config.lr, weight_decay=0.0)
        for step in range(self.config.steps if support else 0):
            with torch.enable_grad():
                loss, weight = self.loss([next(episodes) for _ in range(self.config.episodes)], params)
                if not torch.isfinite(loss):
                    done = counted(step, "step")
                    raise UserError(f"ttt: the loss is not finite after {done} on {task.name}", fix="Lower lr.")
                grads = torch.autograd.grad(loss / weight, leaves, allow_unused=True, materialize_grads=True)
            for leaf, grad in zip(leaves, grads, strict=True):
                leaf.grad = grad
            torch.nn.utils.clip_grad_norm_(leaves, 1.0)
            optimizer.step()
        return {n: p.detach() for n, p in params.items()}

    def episodes(self, task: Task, support: Sequence[Example]) -> Iterator[tuple[Task, list[Example], list[Example]]]:
        """Yield (task, demonstrations, the one that is left out), endlessly; a function of the support set only."""
        rng = random.Random(f"ttt/{support_keys(support)}")
        while support:
            for left_out in rng.sample(range(len(support)), len(support)):
                others = [e for i, e in enumerate(support) if i != left_out]
                rng.shuffle(others)
                shown = others if self.config.demonstrations else []
                yield task, shown[: self.config.shown or None], [support[left_out]]
