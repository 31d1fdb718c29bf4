"""Prototypical networks (Snell et al. 2017, arXiv 1703.05175) over the backbone's embeddings.

A class is the mean of its support vectors; a query goes to the nearest by squared Euclidean distance (or by cosine).
Learned episodically: a linear map of the vectors (started at the identity, so that untrained it is the nearest class
mean of the backbone's own vectors) and the distance's scale. A language model's vectors lie close together, so the
scale starts at 30: from 1 the first steps stretched the map instead, and training lost what it should gain
(docs/experiments.md).

With `label_names`, the vector of each label's name is one more support vector of its class, so that a class without a
demonstration can be answered too, and without any demonstration a query goes to the nearest name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from metaicl.lm.backbone import Backbone
from metaicl.lm.text_encoder import same_tokens
from metaicl.methods.metric.embedding import SCALE, EmbeddingMethod
from metaicl.methods.metric.learned_maps import identity_map
from task_suites.core.ranges import Positive
from task_suites.example import Example, Form
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Task


class ProtoNet(EmbeddingMethod):
    """Prototypical networks. See the module's docstring."""

    label = "Prototypical"
    note = "nearest class mean of learned embeddings"
    paper = "Snell et al. 2017, arXiv 1703.05175"
    space = SCALE

    @dataclass(frozen=True)
    class Config(EmbeddingMethod.Config):
        """The options of prototypical networks.

        Attributes:
            distance: "euclidean" (squared, as a mean over the width) or "cosine" (twice the cosine).
            learn_map: whether a linear map of the vectors is learned; without it only the scale is.
            scale: the factor of the distance at the start of meta-training.
            label_names: whether each label's name is one more demonstration of its class. Tags have no names.
        """

        distance: Literal["euclidean", "cosine"] = "euclidean"
        learn_map: bool = True
        scale: Positive = 30.0
        label_names: bool = False

    config: Config

    def __init__(self, backbone: Backbone, form: PromptFormat, config: Config):
        super().__init__(backbone, form, config)
        self.map: nn.Module = nn.Identity()
        if config.learn_map:
            self.map = identity_map(self.width)  # a bias would cancel in every distance
        self.log_scale = nn.Parameter(torch.tensor(float(config.scale)).log(), requires_grad=self.meta_trained)
        if config.label_names:
            self.serves = self.serves - {"tags"}

    def answerable(self, task: Task, support: Sequence[Example]) -> list[str]:
        return sorted(task.labels) if self.config.label_names else super().answerable(task, support)

    def shots(self, support: Sequence[Example], vectors: Tensor, names: Sequence[str]) -> tuple[Tensor, list[str]]:
        vectors, labels = super().shots(support, vectors, names)
        if not self.config.label_names:
            return vectors, labels
        self._check_parted([name for name in names if name not in labels])
        return torch.cat([vectors, self.embed([Example(name) for name in names])]), [*labels, *names]

    def _check_parted(self, names: Sequence[str]) -> None:
        """Raise where two classes that only their names tell apart have the same tokens as names.

        Raises:
            UserError: names both.
        """
        first: dict[tuple[int, ...], str] = {}
        for name in names:
            if (other := first.setdefault(tuple(self.backbone.encode(name)), name)) != name:
                raise same_tokens([other, name])

    def logits(self, shots: Tensor, labels: Tensor, queries: Tensor, classes: int) -> Tensor:
        shots, queries = self.map(shots), self.map(queries)
        centres = class_means(shots, labels, classes)
        if self.config.distance == "cosine":
            cosines = nn.functional.cosine_similarity(queries[:, None], centres[None], dim=-1)
            return 2.0 * cosines * self.log_scale.exp()
        return -euclidean(queries, centres) * self.log_scale.exp()


class NamedProtoNet(ProtoNet):
    """Prototypical networks with the labels' names."""

    label = "Prototypical with names"
    note = "nearest class mean of learned embeddings, each label's name being one more demonstration"
    serves = frozenset[Form]({"options"})

    @dataclass(frozen=True)
    class Config(ProtoNet.Config):
        label_names: bool = True


class CosineProtoNet(ProtoNet):
    """Prototypical networks by cosine."""

    label = "Prototypical, cosine"
    note = "nearest class mean of learned embeddings, by cosine"
    paper = ProtoNet.paper

    @dataclass(frozen=True)
    class Config(ProtoNet.Config):
        distance: Literal["euclidean", "cosine"] = "cosine"


def euclidean(queries: Tensor, centres: Tensor) -> Tensor:
    """Return `[queries, classes]`: squared distances, their mean over width."""
    return torch.stack([(queries - centre).square().mean(1) for centre in centres], 1)


def class_means(shots: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Return `[classes, width]`: the mean of each class's shots, however many it has."""
    return torch.stack([shots[labels == c].mean(0) for c in range(classes)])
