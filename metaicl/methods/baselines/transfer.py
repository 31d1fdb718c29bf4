"""Transfer learning: multi-task training first, then fine-tuning on the support set: what meta-learning is
most often set against."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from metaicl.methods.baselines.finetune import FineTune
from task_suites.episodes import Episode


class Transfer(FineTune):
    """See the module's docstring; arguments are `FineTune`'s, whose `objective` both trainings use."""

    trainable = True

    def forward(self, episodes: Sequence[Episode]) -> tuple[Tensor, Tensor]:
        """As multi-task learning: the queries' loss without demonstrations; that of words by class means of these."""
        losses, weights = zip(*(self.model.query_loss(e.task, e.support, e.queries) for e in episodes), strict=True)
        return torch.stack(losses).sum() + self.zero(), torch.stack(weights).sum()
