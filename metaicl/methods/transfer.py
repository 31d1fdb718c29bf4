"""Transfer learning: multi-task training first, then fine-tuning on the support set : what meta-learning is
most often set against."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from metaicl.methods.finetune import FineTune
from task_suites.episodes import Episode


class Transfer(FineTune):
    """See the module's docstring; arguments are `FineTune`'s, whose `objective` both trainings use."""

    trainable = True

    def forward(self, episodes: Sequence[Episode]) -> tuple[Tensor, Tensor]:
        """As multi-task learning: the queries' loss without demonstrations."""
        return self.model(episodes)  # type: ignore[no-any-return]
