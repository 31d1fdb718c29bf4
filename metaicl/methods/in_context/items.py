"""Texts and words as vectors of a language model's hidden states.

An item is a text (the mean of its tokens' states, each normalised over width) or, for tagging, a word (the state at its
last token); k counts sentences there, and most words are O. Vectors are normalised over width again and, while the
backbone is frozen, kept in `backbone.shared`, so that the same episode is embedded once for all methods.

A causal model's first token is where attention goes that has nowhere to go: in the middle layers its state is many
times longer than any other and says nothing about the text. So the token that begins a text is left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from metaicl.lm.backbone import Backbone, Params
from metaicl.lm.context_length import check_length, quoted
from metaicl.lm.text_encoder import no_tokens
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.task import Task


class ItemVectors:
    """The vectors of examples' items.

    Args:
        layer: hidden states of which layer: a share of the depth (0.8 is layer 24 of 30), or a number (0: embeddings,
            -1: last).
        twice: embed a sentence's words from its second copy in `sentence sentence` (tagging).

    Raises:
        UserError: the model has no such layer.
    """

    def __init__(self, backbone: Backbone, layer: float, twice: bool):
        self.backbone, self.twice = backbone, twice
        depth = int(backbone.model_config.num_hidden_layers)
        index = round(layer * depth) if 0 < layer < 1 else int(layer)
        self.layer = index + depth + 1 if index < 0 else index
        if not 0 <= self.layer <= depth:
            expected = f"a fraction of its depth, between 0 and 1, or a number from {-depth} to {depth}"
            raise UserError("the model has no such layer", found=f"layer {layer}", expected=expected)
        self.width = int(backbone.model_config.hidden_size)
        special = [i for i in (backbone.tokenizer.bos_token_id, backbone.tokenizer.eos_token_id) if i is not None]
        self.first = tuple(special[:1]) or backbone.encode("\n")[:1]

    def __call__(self, examples: Sequence[Example], params: Params | None = None) -> Tensor:
        """Return `[items, width]` float32: one row a text, or one a word, example by example; `params` stand in for the
        backbone's learned weights."""
        if params or self.backbone.trainable():
            return self._vectors(examples, params)
        key = (self.layer, self.twice, tuple(e.tokens or e.text for e in examples))
        with torch.no_grad():
            return self.backbone.shared.get(key, lambda: self._vectors(examples, None))

    def _vectors(self, examples: Sequence[Example], params: Params | None) -> Tensor:
        """Return the items' vectors; no example sees another, so what runs beside it changes only rounding."""
        read = [self._read(e) for e in examples]
        for example, (ids, _) in zip(examples, read, strict=True):
            check_length(len(ids), self.backbone.context, f"the text {quoted(example.text)}")
        states = self.backbone.hidden([ids for ids, _ in read], self.layer, params)
        rows = [
            normalised(
                s[ends.to(s.device)] if ends is not None else normalised(s[len(self.first) :]).mean(0, keepdim=True)
            )
            for s, (_, ends) in zip(states, read, strict=True)
        ]
        return torch.cat(rows) if rows else torch.empty(0, self.width, device=self.backbone.device)

    def refusal(self, task: Task) -> str | None:
        """Return the reason for which the task's items have no vectors: None, since all have."""
        return None

    def length(self, example: Example) -> int:
        """Return the tokens of an example as it is read."""
        return len(self._read(example)[0])

    def _read(self, example: Example) -> tuple[tuple[int, ...], Tensor | None]:
        """Return (tokens, the position of each word's last one, or None for a text).

        Raises:
            UserError: a text has no token.
        """
        if example.tokens is None:
            if not (ids := self.backbone.encode(example.text)):
                raise no_tokens("a text", example.text)
            return (*self.first, *ids), None
        sentence = "".join(f" {word}" for word in example.tokens)
        read = self.backbone.texts.encode(sentence * 2 if self.twice else sentence)
        stops = torch.tensor([len(word) + 1 for word in example.tokens]).cumsum(0)
        if self.twice:
            stops = stops + len(sentence)
        last = [max(read.reaching_beyond(stop) - 1, read.reaching_beyond(stop - 1)) for stop in stops.tolist()]
        return (*self.first, *read.ids), torch.tensor(last).clamp(max=len(read) - 1) + len(self.first)


def item_labels(examples: Sequence[Example]) -> list[str]:
    """Return the class of each item: an example's output, or its words' tags."""
    return [label for e in examples for label in (e.tags or () if e.tokens is not None else (e.output or "",))]


def class_balanced_subset(support: Sequence[Example], most: int) -> list[int]:
    """Return the indices of at most `most` items, rising: each class's first item, then each class's second, and so on.

    The order within a class goes by the items' own names, not by their position.
    """
    names = [f"{e.content}/{i}" for e in support for i in range(len(e.tokens or "1"))]
    labels = item_labels(support)
    ranked = sorted(range(len(names)), key=lambda i: hashlib.sha256(names[i].encode()).digest())
    seen: dict[str, int] = {}
    turns = []
    for i in ranked:
        seen[labels[i]] = seen.get(labels[i], 0) + 1
        turns.append((seen[labels[i]], labels[i], i))
    return sorted(i for _, _, i in sorted(turns)[:most])


def normalised(states: Tensor) -> Tensor:
    """Return the vectors with mean 0 and variance 1 over the last axis."""
    return nn.functional.layer_norm(states, states.shape[-1:])
