"""Fine-tuning on the support set: LoRA weights start where they are, take AdamW steps on part of the shots, and stop
where the rest of the shots say so.

Started from the plain backbone this is the usual baseline; started from another method's checkpoint it is transfer
learning. Texts and options are answered without demonstrations, as multi-task learning trains; words are tagged by
their class means (metaicl/methods/gradient/adapted.py).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from metaicl.lm.backbone import Backbone
from metaicl.methods.base import EVERY_FORM, Method, Space, support_keys
from metaicl.methods.gradient.adapted import AdaptedModel
from metaicl.methods.in_context.answer_loss import Objective
from metaicl.methods.options import ReadUnless
from metaicl.methods.predictor import Predictor
from task_suites.core.ranges import Natural, NonNegative, Range
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Task


class FineTune(Method):
    """Fine-tuning on the support set. See the module's docstring."""

    label = "Fine-tuning"
    note = "LoRA on the demonstrations, stopped early on part of them"
    paper = "Hu et al. 2021, arXiv 2106.09685"
    weights = "lora"
    serves = EVERY_FORM
    space: ClassVar[Space] = {"options.lr": ("log", 1e-4, 1e-2), "options.steps": ("int", 5, 60)}

    @dataclass(frozen=True)
    class Config(Method.Config):
        """The options of fine-tuning on the support set.

        Attributes:
            steps: the largest number of steps, each on all shots; 0 is zero-shot.
            lr: the learning rate of AdamW, constant.
            dev_share: the part of the shots that is kept for early stopping, at least 0 and below 1. Of fewer than 4
                shots none is kept, and all steps are taken.
            patience: the number of steps without a better dev loss after which training stops.
            objective: what is minimised, as in `InContext`.
        """

        steps: Natural = 20
        lr: NonNegative = 1e-3
        dev_share: Annotated[float, Range(least=0, below=1)] = 0.25
        patience: Natural = 5
        objective: Objective = "tokens"
        read_unless: ClassVar[ReadUnless] = {"patience": ("dev_share", 0)}

    config: Config

    def __init__(self, backbone: Backbone, form: PromptFormat, config: Config):
        super().__init__(backbone, form, config)
        self.check_learns()
        self.model = AdaptedModel(backbone, form, False, config.objective)
        self.serves = self.model.serves

    def refusal(self, task: Task) -> str | None:
        return super().refusal(task) or self.model.refusal(task)

    def longest(self, task: Task, support: Sequence[Example], queries: Sequence[Example]) -> int:
        return self.model.longest(task, support, queries)

    def adapt(self, task: Task, support: Sequence[Example]) -> Predictor:
        self.check_serves(task)
        with self.backbone.lower.once():
            return self.model.predictor(task, support, self.tuned(task, support))

    def tuned(self, task: Task, support: Sequence[Example]) -> dict[str, Tensor]:
        """Return the weights of the step with the best dev loss (the last step without dev shots)."""
        train, dev = self.split(support)
        params = {n: p.detach().clone().requires_grad_() for n, p in self.backbone.trainable().items()}
        best = {n: p.detach().clone() for n, p in params.items()}
        best_loss, best_step = self._dev_loss(task, train, dev, params), 0
        optimizer = torch.optim.AdamW(params.values(), lr=self.config.lr, weight_decay=0.0, fused=True)
        for step in range(1, self.config.steps + 1 if train else 1):  # nothing is learned from no demonstrations
            loss, weight = self.model.support_loss(task, train, params)
            optimizer.zero_grad()
            (loss / weight).backward()
            torch.nn.utils.clip_grad_norm_(params.values(), 1.0)
            optimizer.step()
            dev_loss = self._dev_loss(task, train, dev, params)
            if not dev or dev_loss < best_loss:
                best, best_loss, best_step = {n: p.detach().clone() for n, p in params.items()}, dev_loss, step
            elif step - best_step >= self.config.patience:
                break
        return best

    def split(self, support: Sequence[Example]) -> tuple[list[Example], list[Example]]:
        """Return (training shots, dev shots): the dev part is drawn class by class, seeded by the support set
        itself."""
        wanted = int(len(support) * self.config.dev_share) if len(support) >= 4 else 0
        order = list(range(len(support)))
        random.Random(f"finetune/{support_keys(support)}").shuffle(order)
        seen: dict[str | None, int] = {}
        turn = {}
        for i in order:  # each class's first, then each class's second ...
            seen[support[i].output] = seen.get(support[i].output, 0) + 1
            turn[i] = seen[support[i].output]
        dev = set(sorted(order, key=lambda i: turn[i])[:wanted])
        return [e for i, e in enumerate(support) if i not in dev], [e for i, e in enumerate(support) if i in dev]

    @torch.no_grad()
    def _dev_loss(
        self, task: Task, train: Sequence[Example], dev: Sequence[Example], params: dict[str, Tensor]
    ) -> float:
        if not dev:
            return float("inf")
        loss, weight = self.model.query_loss(task, train, dev, params)
        return float(loss / weight)
