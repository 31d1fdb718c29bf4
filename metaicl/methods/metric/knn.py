"""k-nearest neighbours (scikit-learn's) among the support set's embeddings, each neighbour's vote weighed by the
inverse of its distance. Nothing is learned."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metaicl.lm.backbone import Backbone
from metaicl.methods.metric.embedding import EmbeddingMethod
from task_suites.core.ranges import Count
from task_suites.formats.prompt_format import PromptFormat


class NearestNeighbours(EmbeddingMethod):
    """See the module's docstring.

    Args:
        options: `EmbeddingMethod`'s.
        neighbours: k, or as many as there are.
    """

    trainable = False

    def __init__(
        self,
        backbone: Backbone,
        form: PromptFormat,
        neighbours: Count = 1,
        **options: Any,
    ):
        super().__init__(backbone, form, **options)
        self.neighbours = neighbours

    def logits(self, shots: Tensor, labels: Tensor, queries: Tensor, classes: int) -> Tensor:
        """Log of the votes' shares; a class without a vote is behind all others."""
        from sklearn.neighbors import KNeighborsClassifier

        count = min(self.neighbours, len(shots))
        model = KNeighborsClassifier(count, weights="distance", algorithm="brute")
        model.fit(shots.double().cpu().numpy(), labels.cpu().numpy())
        votes = torch.from_numpy(model.predict_proba(queries.double().cpu().numpy()))
        return votes.clamp_min(1e-6).log().to(queries)
