"""Context tuning (Lu et al. 2025, arXiv 2507.04221): what is trained starts as the demonstrations in the prompt, and
the weights are frozen.

CT-KV trains the demonstrations' keys and values in every layer; CT-Prompt trains their embeddings, from which each step
computes the states again. A demonstration that is scored does not see itself in the prefix (leave-one-out masking), for
else it would be copied; and a share of the prefix's tokens is hidden from it at random in each step (token dropout).
The published settings are AdamW, 200 steps at a rate of 1e-3 that falls along a cosine, and a dropout of 0.05.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metaicl.lm.prompts import Prompt
from metaicl.methods.base import seeded, support_keys
from metaicl.methods.in_context.tuned_context import TunedContext
from task_suites.core.ranges import Share
from task_suites.example import Example


class ContextTuning(TunedContext):
    """CT-KV: the demonstrations' keys and values are trained. See the module's docstring."""

    label = "CT-KV"
    note = "context tuning: the demonstrations' keys and values are trained on them, weights frozen"
    paper = "Lu et al. 2025, arXiv 2507.04221"

    @dataclass(frozen=True)
    class Config(TunedContext.Config):
        """The options of context tuning.

        Attributes:
            leave_one_out: whether a demonstration is hidden from its own loss.
            token_dropout: the share of the prefix's tokens that each demonstration does not see in a step.
        """

        leave_one_out: bool = True
        token_dropout: Share = 0.05

    config: Config

    def seen(self, prompt: Prompt, support: Sequence[Example], prefix: int, step: int) -> Tensor | None:
        seen = torch.ones(len(support), prefix, dtype=torch.bool)
        if self.config.token_dropout:
            seen = drop_tokens(self.config.token_dropout, support, prefix, step)
        if self.config.leave_one_out:
            for row, span in zip(seen, prompt.demonstration_spans(), strict=False):  # none without demonstrations
                row[span.start : span.stop] = False
        return None if seen.all() else seen


class PromptContextTuning(ContextTuning):
    """CT-Prompt: the demonstrations' embeddings are trained. See the module's docstring."""

    label = "CT-Prompt"
    note = "context tuning: the demonstrations' embeddings are trained on them, weights frozen"
    paper = "Lu et al. 2025, arXiv 2507.04221"
    learned_as = "embeddings"


def drop_tokens(share: float, support: Sequence[Example], prefix: int, step: int) -> Tensor:
    """Return `[demonstrations, prefix]`: false at a share of the tokens, drawn by support set and step."""
    generator = seeded("token dropout", support_keys(support), step)
    return torch.rand(len(support), prefix, generator=generator) >= share
