"""k-nearest neighbours (scikit-learn's) among the support set's embeddings, each neighbour's vote weighed by the
inverse of its distance. Nothing is learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from metaicl.methods.base import Space
from metaicl.methods.metric.embedding import EmbeddingMethod
from task_suites.core.ranges import Count


class NearestNeighbours(EmbeddingMethod):
    """k-nearest neighbours. See the module's docstring."""

    label = "Nearest neighbours"
    note = "votes of the nearest embeddings"
    paper = "Cover and Hart 1967, Nearest neighbor pattern classification"
    meta_trained = False
    space: ClassVar[Space] = {"options.neighbours": ("int", 1, 7)}

    @dataclass(frozen=True)
    class Config(EmbeddingMethod.Config):
        """The options of k-nearest neighbours.

        Attributes:
            neighbours: how many neighbours vote; all shots where there are fewer.
        """

        neighbours: Count = 1

    config: Config

    def logits(self, shots: Tensor, labels: Tensor, queries: Tensor, classes: int) -> Tensor:
        """Log of the votes' shares; a class without a vote is below all others."""
        from sklearn.neighbors import KNeighborsClassifier

        count = min(self.config.neighbours, len(shots))
        model = KNeighborsClassifier(count, weights="distance", algorithm="brute")
        model.fit(shots.double().cpu().numpy(), labels.cpu().numpy())
        votes = torch.from_numpy(model.predict_proba(queries.double().cpu().numpy()))
        return votes.clamp_min(1e-6).log().to(queries)
