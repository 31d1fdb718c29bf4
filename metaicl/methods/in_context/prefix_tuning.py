"""Prefix tuning (Li and Liang 2021, arXiv 2101.00190) and prompt tuning (Lester et al. 2021, arXiv 2104.08691): virtual
tokens before the prompt are trained on the demonstrations, the weights are frozen, and no demonstration stands in the
prompt. Prefix tuning trains the virtual tokens' keys and values in every layer, without a network that makes them;
prompt tuning trains their embeddings.

peft's models do the same to plain sequences. They take no tree of prompts and no positions, so the virtual tokens are
our own here; a test holds that peft gives the same logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from metaicl.lm.backbone import Backbone, Params
from metaicl.methods.base import seeded, support_keys
from metaicl.methods.in_context.selection import Selection
from metaicl.methods.in_context.tuned_context import TunedContext
from task_suites.core.ranges import Count, Natural, NonNegative
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Task


class PrefixTuning(TunedContext):
    """Prefix tuning. See the module's docstring."""

    label = "Prefix tuning"
    note = "keys and values of virtual tokens are trained on the demonstrations, weights frozen"
    paper = "Li and Liang 2021, arXiv 2101.00190"

    @dataclass(frozen=True)
    class Config(TunedContext.Config):
        """The options of prefix tuning and prompt tuning.

        Attributes:
            num_virtual_tokens: how many virtual tokens there are.
            init: what the virtual tokens are at first: the task's instruction and labels, repeated as often as needed
                ("text"), or tokens drawn from the vocabulary ("sample_vocab").
        """

        demonstrations: bool = field(default=False, init=False)
        shown: Natural = field(default=0, init=False)
        selection: Selection = field(default="random", init=False)
        steps: Natural = 30
        lr: NonNegative = 1e-2
        num_virtual_tokens: Count = 16
        init: Literal["text", "sample_vocab"] = "text"

    config: Config

    def __init__(self, backbone: Backbone, form: PromptFormat, config: Config):
        super().__init__(backbone, form, config)
        self.order_free = config.calibration != "cross_fit"  # whose quarters go by the order

    def virtual(self, task: Task) -> tuple[int, ...]:
        count = self.config.num_virtual_tokens
        if self.config.init == "sample_vocab":
            vocabulary, generator = len(self.backbone.tokenizer), seeded("virtual tokens", count)
            return tuple(torch.randint(vocabulary, (count,), generator=generator).tolist())
        text = " ".join(part for part in (task.instruction, ", ".join(task.labels)) if part) or task.name
        ids = self.backbone.encode(text)
        return (ids * -(-count // len(ids)))[:count]

    def tuned(self, task: Task, support: Sequence[Example], prefix: Sequence[int], params: Params | None) -> Any:
        ordered = sorted(support, key=lambda example: support_keys([example]))  # rounding goes by their order
        return super().tuned(task, ordered, prefix, params)


class PromptTuning(PrefixTuning):
    """Prompt tuning. See the module's docstring."""

    label = "Prompt tuning"
    note = "embeddings of virtual tokens are trained on the demonstrations, weights frozen"
    paper = "Lester et al. 2021, arXiv 2104.08691"
    learned_as = "embeddings"

    @dataclass(frozen=True)
    class Config(PrefixTuning.Config):
        lr: NonNegative = 3e-2
