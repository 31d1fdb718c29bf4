"""Transfer learning: multi-task training first, then fine-tuning on the support set: what meta-learning is
most often set against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from metaicl.methods.base import RATE, Space
from metaicl.methods.baselines.finetune import FineTune
from metaicl.methods.in_context.answer_loss import Objective
from task_suites.episodes import Episode


class Transfer(FineTune):
    """Multi-task training, then fine-tuning; both trainings use the `objective`."""

    label = "Transfer"
    note = "multi-task training, then fine-tuning on the demonstrations"
    meta_trained = True
    space: ClassVar[Space] = RATE

    @dataclass(frozen=True)
    class Config(FineTune.Config):
        objective: Objective = "both"

    def forward(self, episodes: Sequence[Episode]) -> tuple[Tensor, Tensor]:
        """As multi-task learning: the queries' loss without demonstrations; that of words by class means of these."""
        losses, weights = zip(*(self.model.query_loss(e.task, e.support, e.queries) for e in episodes), strict=True)
        return torch.stack(losses).sum() + self.zero_loss(), torch.stack(weights).sum()
