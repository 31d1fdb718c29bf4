"""What the metric and closed-form methods share: items as vectors from the backbone, and a classifier that reads its
classes off the support set.

An item is a text (its hidden states' mean over tokens) or, for tagging, a word (the state at its last token); k counts
sentences there. A causal model's word sees nothing to its right, so a sentence can be given `twice` and its words read
off the second copy. Vectors are normalised over width and, while the backbone is frozen, kept in `backbone.memo`, so
that each text is embedded once for all methods.

An algorithm is a map of (shots, their classes, queries) to logits (`logits`), and a loss where it is not cross-entropy.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from metaicl.backbone import Backbone
from metaicl.methods.base import Method, Predictor
from task_suites.episodes import Episode
from task_suites.formats import PromptFormat
from task_suites.task import Example, Task

ABSENT = -1e9  # score of an option that no demonstration has


class EmbeddingMethod(Method):
    """See the module's docstring.

    Args:
        layer: hidden states of which layer (0: embeddings, -1: last).
        twice: embed a sentence's words from its second copy in `sentence sentence` (tagging).
    """

    trainable = True
    order_free = True
    serves = frozenset({"options", "tags"})

    def __init__(self, backbone: Backbone, form: PromptFormat, layer: int = -1, twice: bool = False):
        super().__init__(backbone, form)
        self.layer, self.twice = layer, twice
        self.width = int(backbone.shape.hidden_size)

    @abstractmethod
    def logits(self, shots: Tensor, labels: Tensor, queries: Tensor, classes: int) -> Tensor:
        """`[queries, classes]` from shots `[n, width]`, their classes `[n]` (0 to classes - 1, each with a shot at
        least) and queries `[queries, width]`."""

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss sum over queries; by default cross-entropy."""
        return nn.functional.cross_entropy(logits, targets, reduction="sum")

    def refusal(self, task: Task) -> str | None:
        if reason := super().refusal(task):
            return reason
        fixed = task.form == "tags" or task.labels
        return None if fixed else f"options of each example's own; {type(self).__name__} needs a fixed list of labels"

    def embed(self, examples: Sequence[Example]) -> Tensor:
        """`[items, width]` float32: one row a text, or one a word, example by example."""
        frozen = not self.backbone.trainable()
        rows = []
        for example in examples:
            key = (self.layer, self.twice, example.tokens or example.text)
            rows.append(self.backbone.memo[key] if key in self.backbone.memo else self._states(example, frozen))
            if frozen:
                self.backbone.memo[key] = rows[-1]
        return torch.cat(rows) if rows else torch.empty(0, self.width, device=self.backbone.device)

    def _states(self, example: Example, frozen: bool) -> Tensor:
        """One example alone: no vector depends on what was embedded beside it."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            if example.tokens is None:
                states = self.backbone.hidden(self.backbone.encode(example.text), self.layer).mean(0, keepdim=True)
            else:
                pieces = [self.backbone.encode(f" {word}") for word in example.tokens]
                ids = [i for piece in pieces for i in piece]
                ends = torch.tensor([len(piece) for piece in pieces]).cumsum(0) - 1
                if self.twice:
                    ends, ids = ends + len(ids), ids + ids
                states = self.backbone.hidden(ids, self.layer)[ends]
            return nn.functional.layer_norm(states, states.shape[-1:])

    def forward(self, episodes: Sequence[Episode]) -> tuple[Tensor, Tensor]:
        """Weight: query items (those whose class has a demonstration)."""
        total = torch.stack([p.sum() * 0.0 for p in self.learned().values()]).sum()  # tied to every learned weight
        weight = 0
        for episode in episodes:
            names = self.classes(episode.support)
            answers = item_labels(episode.queries)
            kept = [i for i, answer in enumerate(answers) if answer in names]
            if kept:
                targets = torch.tensor([names.index(answers[i]) for i in kept], device=total.device)
                queries = self.embed(episode.queries)[kept]
                total = total + self.loss(self.classify(episode.support, queries, names), targets)
                weight += len(kept)
        return total, torch.tensor(float(weight), device=total.device)

    def tokens(self, episode: Episode) -> int:
        """The tokens of inputs alone."""
        return sum(len(self.backbone.encode(e.text)) for e in (*episode.support, *episode.queries))

    @staticmethod
    def classes(support: Sequence[Example]) -> list[str]:
        """The classes that have a demonstration, sorted."""
        return sorted(set(item_labels(support)))

    def classify(self, support: Sequence[Example], queries: Tensor, names: Sequence[str]) -> Tensor:
        """`[queries, classes]`: the logits of embedded queries over the support set's classes."""
        labels = torch.tensor([names.index(label) for label in item_labels(support)], device=queries.device)
        return self.logits(self.embed(support), labels, queries, len(names))

    def adapt(self, task: Task, support: Sequence[Example]) -> EmbeddingPredictor:
        self.check_serves(task)
        return EmbeddingPredictor(self, support)


class EmbeddingPredictor(Predictor):
    """Scores are the classes' logits; an option without a demonstration gets `ABSENT`, and a word a tag that occurs."""

    def __init__(self, method: EmbeddingMethod, support: Sequence[Example]):
        self.method, self.support = method, tuple(support)
        self.names = method.classes(support)

    @torch.no_grad()
    def prepare(self) -> None:
        """Embed the support set (a frozen backbone keeps it)."""
        self.method.embed(self.support)

    @torch.no_grad()
    def logits(self, queries: Sequence[Example]) -> np.ndarray:
        """`[items, classes]` in float64; no column where there is no demonstration."""
        if not self.names:
            return np.empty((sum(len(q.tokens or "1") for q in queries), 0))
        return self.method.classify(self.support, self.method.embed(queries), self.names).double().cpu().numpy()

    def scores(self, queries: Sequence[Example]) -> list[np.ndarray]:
        column = {name: i for i, name in enumerate(self.names)}
        return [
            np.array([row[column[o]] if o in column else ABSENT for o in q.options or ()])
            for q, row in zip(queries, self.logits(queries), strict=True)
        ]

    def tag(self, queries: Sequence[Example]) -> list[tuple[str, ...]]:
        logits = self.logits(queries)
        best = [self.names[i] for i in logits.argmax(1)] if self.names else ["O"] * len(logits)
        tags = iter(best)
        return [tuple(next(tags) for _ in q.tokens or ()) for q in queries]


def item_labels(examples: Sequence[Example]) -> list[str]:
    """The class of each item: an example's output, or its words' tags."""
    return [label for e in examples for label in (e.tags or () if e.tokens is not None else (e.output or "",))]
