"""Relation networks (Sung et al. 2018, arXiv 1711.06025) over the backbone's embeddings.

A learned module g compares a class's feature with a query: r = sigmoid(g([class, query])), and the loss is the squared
error of r against 1 for the right class and 0 for the others, its mean over classes. The paper's g is convolutional;
here it is an MLP on two vectors, which by default also sees their squared difference: from the concatenation by itself
it has to learn what comparing is before it can compare. A class's feature is the mean of its shots (published
code sums them, so that a class of twice the shots has twice the feature).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from metaicl.lm.backbone import Backbone
from metaicl.methods.metric.embedding import EmbeddingMethod
from metaicl.methods.metric.learned_maps import initial_weights
from metaicl.methods.metric.protonet import class_means
from task_suites.core.ranges import Count
from task_suites.formats.prompt_format import PromptFormat


class RelationNet(EmbeddingMethod):
    """Relation networks. See the module's docstring."""

    label = "Relation"
    note = "a learned comparison of class means and query"
    paper = "Sung et al. 2018, arXiv 1711.06025"

    @dataclass(frozen=True)
    class Config(EmbeddingMethod.Config):
        """The options of relation networks.

        Attributes:
            feature: what stands for a class, the "mean" or the "sum" of its shots.
            difference: whether g sees the squared difference of class and query too.
            hidden: the width of g's hidden layer.
        """

        feature: Literal["mean", "sum"] = "mean"
        difference: bool = True
        hidden: Count = 64

    config: Config

    def __init__(self, backbone: Backbone, form: PromptFormat, config: Config):
        super().__init__(backbone, form, config)
        with initial_weights("relation"):
            self.relation: nn.Module = nn.Sequential(
                nn.Linear((3 if config.difference else 2) * self.width, config.hidden),
                nn.ReLU(),
                nn.Linear(config.hidden, 1),
            )

    def logits(self, shots: Tensor, labels: Tensor, queries: Tensor, classes: int) -> Tensor:
        """Relations before the sigmoid."""
        features = class_means(shots, labels, classes)
        if self.config.feature == "sum":
            features = features * torch.bincount(labels, minlength=classes)[:, None]
        return torch.stack([self.compared(feature.expand_as(queries), queries) for feature in features], 1)

    def compared(self, feature: Tensor, queries: Tensor) -> Tensor:
        """Return `[queries]`: g of a class's feature, repeated, and the queries."""
        parts = [feature, queries, (feature - queries).square()]
        return self.relation(torch.cat(parts[: 3 if self.config.difference else 2], 1))[:, 0]

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        right = nn.functional.one_hot(targets, logits.shape[1]).to(logits.dtype)
        return (logits.sigmoid() - right).square().mean(1).sum()
