"""SetFit-style fine-tuning (Tunstall et al. 2022, arXiv 2209.11055): the adapters are tuned on pairs of demonstrations
until those of a class lie together, then scikit-learn's logistic regression learns the classes from their vectors.

Nothing is meta-trained. A pair's loss is the squared error of its cosine against 1 (same class) or 0, as in the paper;
the two kinds of pairs weigh the same. The paper samples pairs; here a step embeds the items once and takes all of
their n (n - 1) / 2 pairs, which is the same loss in expectation, and each text runs once. Adapters above the method's
layer have nothing to do with it and stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from metaicl.lm.backbone import Backbone
from metaicl.lm.models import Kind
from metaicl.methods.base import Space
from metaicl.methods.baselines.logistic import regression
from metaicl.methods.in_context.items import class_balanced_subset, item_labels
from metaicl.methods.metric.embedding import EmbeddingMethod, EmbeddingPredictor
from task_suites.core.errors import UserError
from task_suites.core.ranges import Natural, NonNegative, Positive
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Task


class SetFitLM(EmbeddingMethod):
    """SetFit-style fine-tuning. See the module's docstring."""

    label = "SetFit-style (causal LM)"
    note = "adapters tuned on pairs of demonstrations, then logistic regression"
    paper = "Tunstall et al. 2022, arXiv 2209.11055"
    meta_trained = False
    backbones: ClassVar[frozenset[Kind]] = frozenset({"causal"})
    weights = "lora"
    adapters: ClassVar[Mapping[str, Any]] = {"lora_layers": 14}  # eight of them below the layer of the vectors
    space: ClassVar[Space] = {"options.lr": ("log", 3e-5, 1e-3), "options.steps": ("int", 2, 15)}

    @dataclass(frozen=True)
    class Config(EmbeddingMethod.Config):
        """The options of SetFit-style fine-tuning.

        Attributes:
            most: the largest number of support items, as in all methods that classify vectors; pairs are made of these.
            steps: how many steps AdamW takes; 0 is logistic regression on the plain vectors.
            lr: the learning rate of AdamW, constant.
            inverse_ridge: the parameter C of the logistic regression.
        """

        most: Natural = 128
        steps: Natural = 5
        lr: NonNegative = 3e-4
        inverse_ridge: Positive = 1.0

    config: Config

    def __init__(self, backbone: Backbone, form: PromptFormat, config: Config):
        super().__init__(backbone, form, config)
        self.check_learns()
        if self.embed.layer <= backbone.lower.count:
            raise UserError(
                "SetFit reads a layer below all adapters, so that nothing learns",
                found=f"layer {self.embed.layer}, adapters from layer {backbone.lower.count + 1} on",
                fix="Raise layer or lora_layers.",
            )

    def adapt(self, task: Task, support: Sequence[Example]) -> EmbeddingPredictor:
        self.check_serves(task)
        return EmbeddingPredictor(self, support, self.classes(support), self.tuned(support))

    def tuned(self, support: Sequence[Example]) -> dict[str, Tensor]:
        """The adapters after all steps (as they were, where no two items make a pair)."""
        params = {n: p.detach().clone().requires_grad_() for n, p in self.backbone.trainable().items()}
        answers = item_labels(support)
        names = self.classes(support)
        kept = class_balanced_subset(support, self.most or len(answers))
        labels = torch.tensor([names.index(answers[i]) for i in kept], device=self.backbone.device)
        if len(kept) > 1:
            optimizer = torch.optim.AdamW(params.values(), lr=self.config.lr, weight_decay=0.0)
            with torch.enable_grad(), self.backbone.lower.once():
                for _ in range(self.config.steps):
                    loss = contrastive_loss(self.embed(support, params)[kept], labels)
                    optimizer.zero_grad()
                    loss.backward()
                    torch.nn.utils.clip_grad_norm_(params.values(), 1.0)
                    optimizer.step()
        return {n: p.detach() for n, p in params.items()}

    def logits(self, shots: Tensor, labels: Tensor, queries: Tensor, classes: int) -> Tensor:
        """Log-probabilities by a logistic regression on the shots."""
        return regression(shots, labels, queries, self.config.inverse_ridge)


def pairs(labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(first, second, same class) of all unordered pairs of items, `[n (n - 1) / 2]` each."""
    first, second = torch.triu_indices(len(labels), len(labels), 1, device=labels.device)
    return first, second, labels[first] == labels[second]


def contrastive_loss(vectors: Tensor, labels: Tensor) -> Tensor:
    """Mean squared error of the pairs' cosines against 1 and 0, the mean of that of pairs alike and that of others."""
    first, second, same = pairs(labels)
    unit = nn.functional.normalize(vectors, dim=1)
    errors = ((unit @ unit.T)[first, second] - same.to(vectors.dtype)).square()
    kinds = [errors[kind].mean() for kind in (same, ~same) if kind.any()]
    return torch.stack(kinds).mean()
