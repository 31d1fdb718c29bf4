"""SNAIL (Mishra et al. 2018, arXiv 1707.03141) over sequences of (embedding, label) from the backbone.

The shots with their labels, then one query whose label is zeros: a stack of causal attention and temporal convolutions
reads the sequence and answers at its last position. Each query is a sequence of its own after the shots. A label is a
one-hot of `slots` numbers. Which class takes which slot is drawn from the support set's name, in training and after, so
that no slot comes to mean anything across tasks.

A sequence holds `length` items; of more items the shots are taken class by class (`most` of `EmbeddingMethod`). The
convolutions have kernels of two and dilations 1, 2, 4, ..., so that the last item sees all `length`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import torch
from torch import Tensor, nn

from metaicl.lm.backbone import Backbone
from metaicl.methods.base import seeded, support_keys
from metaicl.methods.metric.embedding import EmbeddingMethod
from metaicl.methods.metric.learned_maps import initial_weights
from task_suites.core.ranges import Count, Range
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Task


class SNAIL(EmbeddingMethod):
    """SNAIL. See the module's docstring."""

    label = "SNAIL"
    note = "attention and convolutions over embeddings and labels in sequence"
    paper = "Mishra et al. 2018, arXiv 1707.03141"
    order_free = False

    @dataclass(frozen=True)
    class Config(EmbeddingMethod.Config):
        """The options of SNAIL.

        Attributes:
            slots: the largest number of classes; a task with more labels is refused.
            length: the number of items in a sequence, the query's among them.
            width: the width of the vectors that enter, of the keys and of the values.
            filters: the number of filters of a convolution.
        """

        slots: Count = 32
        length: Annotated[int, Range(least=2)] = 64
        width: Count = 64
        filters: Count = 32
        most: int = field(default=0, init=False)  # not an option: a sequence has `length` items

    config: Config

    def __init__(self, backbone: Backbone, form: PromptFormat, config: Config):
        super().__init__(backbone, form, config)
        self.most = config.length - 1
        self.slot_order = torch.arange(config.slots)
        width, length, filters = config.width, config.length, config.filters
        with initial_weights("snail"):
            self.enter = nn.Linear(self.width, width)
            attention = [CausalAttention(width + config.slots, width, width)]
            convolutions = [TemporalBlock(attention[0].out, length, filters)]
            attention.append(CausalAttention(convolutions[0].out, width, width))
            convolutions.append(TemporalBlock(attention[1].out, length, filters))
            attention.append(CausalAttention(convolutions[1].out, width, width))
            pairs = [attention[0], convolutions[0], attention[1], convolutions[1], attention[2]]
            self.blocks = nn.Sequential(*pairs)
            self.answer = nn.Linear(attention[2].out, config.slots)

    def refusal(self, task: Task) -> str | None:
        if reason := super().refusal(task):
            return reason
        tags = {tag for e in task.examples("train") for tag in e.tags or ()}
        count = len(task.labels or tags)
        return f"{count} classes; slots is {self.config.slots}" if count > self.config.slots else None

    def classify(self, support: Sequence[Example], shots: Tensor, queries: Tensor, names: Sequence[str]) -> Tensor:
        generator = seeded(support_keys(support), "slots")
        self.slot_order = torch.randperm(self.config.slots, generator=generator).to(queries.device)
        return super().classify(support, shots, queries, names)

    def logits(self, shots: Tensor, labels: Tensor, queries: Tensor, classes: int) -> Tensor:
        slots = self.slot_order[:classes]
        shown = nn.functional.one_hot(slots[labels], self.config.slots).to(shots.dtype)
        blank = torch.zeros(len(queries), 1, self.config.slots, dtype=shots.dtype, device=shots.device)
        shots, queries = self.enter(shots), self.enter(queries)
        known = torch.cat([shots, shown], 1).expand(len(queries), -1, -1)
        asked = torch.cat([queries[:, None], blank], 2)
        return self.answer(self.blocks(torch.cat([known, asked], 1))[:, -1])[:, slots]


class CausalAttention(nn.Module):
    """One head of attention that sees its own position and those before; what it reads is appended to its input.

    `[batch, length, width]` -> `[batch, length, width + values]`.
    """

    def __init__(self, width: int, keys: int, values: int):
        super().__init__()
        self.query, self.key, self.value = nn.Linear(width, keys), nn.Linear(width, keys), nn.Linear(width, values)
        self.out = width + values

    def forward(self, x: Tensor) -> Tensor:
        scores = self.query(x) @ self.key(x).transpose(1, 2) / math.sqrt(self.key.out_features)
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        attention = scores.masked_fill(later, -math.inf).softmax(2)  # over keys; over queries the past sees the future
        return torch.cat([x, attention @ self.value(x)], 2)


class TemporalBlock(nn.Module):
    """`[batch, length, width]` -> `[batch, length, width + ...]`: gated causal convolutions of kernel two, each one's
    filters appended, with dilations that double from 1 until the last position sees `length` positions."""

    def __init__(self, width: int, length: int, filters: int):
        super().__init__()
        self.dilations = [2**i for i in range(math.ceil(math.log2(max(2, length))))]
        widths = [width + i * filters for i in range(len(self.dilations))]
        self.layers = nn.ModuleList(nn.Linear(2 * w, 2 * filters) for w in widths)
        self.out = widths[-1] + filters

    def forward(self, x: Tensor) -> Tensor:
        for dilation, layer in zip(self.dilations, self.layers, strict=True):
            before = nn.functional.pad(x, (0, 0, dilation, 0))[:, : x.shape[1]]
            value, gate = layer(torch.cat([before, x], 2)).chunk(2, 2)
            x = torch.cat([x, value.tanh() * gate.sigmoid()], 2)
        return x
