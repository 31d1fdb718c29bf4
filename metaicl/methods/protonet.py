"""Prototypical networks (Snell et al. 2017, arXiv 1703.05175) over mean-pooled hidden states of the backbone.

A class is the mean of its support embeddings; a query goes to the nearest by squared Euclidean distance. Learned
episodically: a linear map of the embeddings (started at the identity, so that untrained it is the nearest class mean of
the backbone's own embeddings) and the distance's scale. While the backbone is frozen, each text is embedded once.
"""

from __future__ import annotations

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


class ProtoNet(Method):
    """See the module's docstring.

    Args:
        layer: hidden states of which layer (0: embeddings, -1: last).
    """

    trainable = True

    def __init__(self, backbone: Backbone, form: PromptFormat, layer: int = -1):
        super().__init__(backbone, form)
        self.layer = layer
        width = int(backbone.shape.hidden_size)
        self.map = nn.Linear(width, width, bias=False)  # a bias would cancel in every distance
        nn.init.eye_(self.map.weight)
        self.log_scale = nn.Parameter(torch.tensor(0.0))
        self._cache: dict[str, Tensor] = {}

    def refusal(self, task: Task) -> str | None:
        if reason := super().refusal(task):
            return reason
        return None if task.labels else "options of each example's own; prototypes need a fixed list of labels"

    def embed(self, texts: Sequence[str]) -> Tensor:
        """`[texts, width]` float32: mean over tokens, normalised over width, mapped."""
        if self.backbone.trainable():
            return self.map(torch.stack([self._pool(t) for t in texts]))
        with torch.no_grad():
            for text in texts:
                if text not in self._cache:
                    self._cache[text] = self._pool(text)
        return self.map(torch.stack([self._cache[t] for t in texts]).to(self.map.weight.device))

    def _pool(self, text: str) -> Tensor:
        """One text alone: no embedding depends on what was embedded beside it."""
        states = self.backbone.hidden(self.backbone.encode(text), self.layer)
        return nn.functional.layer_norm(states.mean(0), states.shape[-1:])

    def logits(self, support: Sequence[Example], queries: Sequence[Example], classes: Sequence[str]) -> Tensor:
        """`[queries, classes]`: minus the scaled mean squared distance to class means; `ABSENT` for classes unseen."""
        vectors = self.embed([e.text for e in (*support, *queries)])
        shots, asked = vectors[: len(support)], vectors[len(support) :]
        columns = []
        for name in classes:
            mine = [i for i, e in enumerate(support) if e.output == name]
            if mine:
                centre = shots[mine].mean(0)
                columns.append(-(asked - centre).square().mean(1) * self.log_scale.exp())
            else:
                columns.append(torch.full((len(queries),), ABSENT, device=vectors.device))
        return torch.stack(columns, 1)

    def forward(self, episodes: Sequence[Episode]) -> tuple[Tensor, Tensor]:
        """Weight: queries (those whose class has a demonstration)."""
        total = self.map.weight.sum() * 0.0
        weight = 0
        for episode in episodes:
            classes = sorted({e.output or "" for e in episode.support})
            queries = [q for q in episode.queries if q.output in classes]
            if queries:
                target = torch.tensor([classes.index(q.output or "") for q in queries], device=total.device)
                total = total + nn.functional.cross_entropy(
                    self.logits(episode.support, queries, classes), target, reduction="sum"
                )
                weight += len(queries)
        return total, torch.tensor(float(weight), device=total.device)

    def adapt(self, task: Task, support: Sequence[Example]) -> ProtoPredictor:
        self.check_serves(task)
        return ProtoPredictor(self, support)


class ProtoPredictor(Predictor):
    """Scores are the classes' logits; an option without a demonstration gets `ABSENT`."""

    def __init__(self, method: ProtoNet, support: Sequence[Example]):
        self.method, self.support = method, tuple(support)

    @torch.no_grad()
    def scores(self, queries: Sequence[Example]) -> list[np.ndarray]:
        classes = sorted({option for q in queries for option in q.options or ()})
        logits = self.method.logits(self.support, queries, classes).double().cpu().numpy()
        return [logits[i, [classes.index(o) for o in q.options or ()]] for i, q in enumerate(queries)]
