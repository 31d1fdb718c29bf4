"""What the metric and closed-form methods share: a classifier of item vectors, those of a causal model
(metaicl/methods/in_context/items.py) or of a sentence encoder (metaicl/methods/metric/encoder_items.py), that reads its
classes off the support set.

An algorithm is a map of (shots, their classes, queries) to logits (`logits`), and a loss where it is not cross-entropy.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from metaicl.lm.backbone import Backbone, Params
from metaicl.methods.base import EVERY_KIND, RATE, Method, Space, Weights
from metaicl.methods.in_context.items import class_balanced_subset, item_labels
from metaicl.methods.metric.encoder_items import item_vectors
from metaicl.methods.predictor import Predictor
from task_suites.core.ranges import Finite, Natural
from task_suites.episodes import Episode
from task_suites.example import Example, Form
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Task

ABSENT = -1e9  # score of an option that no demonstration has
SCALE: Space = {**RATE, "options.scale": ("log", 3.0, 100.0)}


class EmbeddingMethod(Method):
    """A classifier of item vectors. See the module's docstring.

    Raises:
        UserError: the model has no such layer.
    """

    meta_trained = True
    backbones = EVERY_KIND
    weights: ClassVar[Weights | None] = "frozen"
    reads_prompts = False
    order_free = True
    serves = frozenset[Form]({"options", "tags"})

    @dataclass(frozen=True)
    class Config(Method.Config):
        """The options of all methods that classify vectors.

        Attributes:
            layer: the layer of a causal model whose hidden states are the vectors: a fraction of the depth (0.8 is
                layer 24 of 30), or a number (0: the embeddings, -1: the last layer). On `smollm2-135m` 0.8 is good for
                texts and words, and the last layer is not. A sentence encoder has one vector for a text.
            twice: tagging with a causal model: whether words are embedded from the second copy of the sentence in
                `sentence sentence`, where they have seen the words to their right. It lowered span F1.
            most: the largest number of support items that are used, taken class by class; 0 uses all. It limits methods
                whose cost grows with this number: sixteen tagged sentences have about 300 words.
        """

        layer: Finite = 0.8
        twice: bool = False
        most: Natural = 0

    config: Config

    def __init__(self, backbone: Backbone, form: PromptFormat, config: Config):
        super().__init__(backbone, form, config)
        self.most = config.most
        self.embed = item_vectors(backbone, config.layer, config.twice, EmbeddingMethod.Config.layer)
        self.width = self.embed.width

    @abstractmethod
    def logits(self, shots: Tensor, labels: Tensor, queries: Tensor, classes: int) -> Tensor:
        """Return `[queries, classes]` from shots `[n, width]`, their classes `[n]` (0 to classes - 1, each with a
        shot at least) and queries `[queries, width]`."""

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss sum over queries; by default cross-entropy."""
        return nn.functional.cross_entropy(logits, targets, reduction="sum")

    def refusal(self, task: Task) -> str | None:
        if reason := super().refusal(task) or self.embed.refusal(task):
            return reason
        fixed = task.form == "tags" or task.labels
        return None if fixed else f"options of each example's own; {type(self).__name__} needs a fixed list of labels"

    def forward(self, episodes: Sequence[Episode]) -> tuple[Tensor, Tensor]:
        """Weight: query items (those whose class has a demonstration)."""
        if not self.meta_trained:
            return super().forward(episodes)
        total = self.zero_loss()
        weight = torch.zeros((), device=total.device)
        for episode in episodes:
            loss, items = self.query_loss(episode.task, episode.support, episode.queries)
            total, weight = total + loss, weight + items
        return total, weight

    def query_loss(
        self, task: Task, support: Sequence[Example], queries: Sequence[Example], params: Params | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return (loss sum, items) of the queries' items whose class has a demonstration."""
        names, answers = self.answerable(task, support), item_labels(queries)
        kept = [i for i, answer in enumerate(answers) if answer in names]
        vectors = self.embed(queries, params)
        if not kept:
            return 0.0 * vectors.sum(), torch.zeros((), device=vectors.device)
        targets = torch.tensor([names.index(answers[i]) for i in kept], device=vectors.device)
        logits = self.classify(support, self.embed(support, params), vectors[kept], names)
        return self.loss(logits, targets), torch.tensor(float(len(kept)), device=vectors.device)

    def tokens(self, episode: Episode) -> int:
        """Return the number of tokens of the inputs only."""
        return sum(len(self.backbone.encode(e.text)) for e in (*episode.support, *episode.queries))

    def longest(self, task: Task, support: Sequence[Example], queries: Sequence[Example]) -> int:
        return max(map(self.embed.length, (*support, *queries)), default=0)

    @staticmethod
    def classes(support: Sequence[Example]) -> list[str]:
        """Return the classes that have a demonstration, sorted."""
        return sorted(set(item_labels(support)))

    def answerable(self, task: Task, support: Sequence[Example]) -> list[str]:
        """Return the classes that queries can get, sorted: those that have a demonstration."""
        return self.classes(support)

    def classify(self, support: Sequence[Example], shots: Tensor, queries: Tensor, names: Sequence[str]) -> Tensor:
        """Return `[queries, classes]`: the logits over the classes `names`.

        Args:
            shots: the support set's vectors.
            queries: the queries' vectors.
        """
        vectors, classes = self.shots(support, shots, names)
        labels = torch.tensor([names.index(label) for label in classes], device=queries.device)
        return self.logits(vectors, labels, queries, len(names))

    def shots(self, support: Sequence[Example], vectors: Tensor, names: Sequence[str]) -> tuple[Tensor, list[str]]:
        """Return (`[n, width]`, the class of each): what the classes `names` are read off, from the support set and its
        vectors."""
        labels = item_labels(support)
        if not self.most or len(labels) <= self.most:
            return vectors, labels
        kept = class_balanced_subset(support, self.most)
        return vectors[kept], [labels[i] for i in kept]

    def adapt(self, task: Task, support: Sequence[Example]) -> EmbeddingPredictor:
        self.check_serves(task)
        return EmbeddingPredictor(self, support, self.answerable(task, support))


class EmbeddingPredictor(Predictor):
    """Scores are the classes' logits; an option without a demonstration gets `ABSENT`, and a word a tag that occurs."""

    def __init__(
        self,
        method: EmbeddingMethod,
        support: Sequence[Example],
        names: Sequence[str],
        params: Params | None = None,
    ):
        """`names` are the classes that a query can get, sorted."""
        self.method, self.support, self.params, self.names = method, tuple(support), params, list(names)

    @cached_property
    def shots(self) -> Tensor:
        """The support set's vectors."""
        return self.method.embed(self.support, self.params)

    @torch.no_grad()
    def prepare(self) -> None:
        """Embed the support set."""
        _ = self.shots

    @torch.no_grad()
    def logits(self, queries: Sequence[Example]) -> np.ndarray:
        """Return `[items, classes]` in float64; without columns where demonstrations are missing."""
        if not self.names:
            return np.empty((sum(len(q.tokens or "1") for q in queries), 0))
        shots, embedded = self.shots, self.method.embed(queries, self.params)
        return self.method.classify(self.support, shots, embedded, self.names).double().cpu().numpy()

    def scores(self, queries: Sequence[Example]) -> list[np.ndarray]:
        column = {name: i for i, name in enumerate(self.names)}
        return [
            np.array([row[column[o]] if o in column else ABSENT for o in q.options or ()])
            for q, row in zip(queries, self.logits(queries), strict=True)
        ]

    def tag_scores(self, queries: Sequence[Example]) -> tuple[list[str], np.ndarray]:
        return self.names, self.logits(queries)
