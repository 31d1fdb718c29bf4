"""Texts and words as vectors of a sentence encoder: `ItemVectors` (metaicl/methods/in_context/items.py) on the other
kind of backbone.

An item is a text (the encoder's own vector of it) or, for tagging, a word (the mean state of its tokens). Vectors are
scaled to the length of those of a causal model, the root of their width, so that methods need no other settings; `raw`
leaves them as the encoder gives them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from metaicl.lm.backbone import Backbone, Params
from metaicl.lm.encoder import Encoder
from metaicl.lm.kinds import AnyBackbone
from metaicl.methods.in_context.items import ItemVectors
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.task import Task


class EncoderItems:
    """The vectors of examples' items; they are kept in the encoder's `shared`."""

    layer = -1  # the only one that an encoder shows

    def __init__(self, encoder: Encoder, raw: bool = False):
        self.backbone, self.width, self.raw = encoder, encoder.width, raw

    def __call__(self, examples: Sequence[Example], params: Params | None = None) -> Tensor:
        """Return `[items, width]` float32: one row a text, or one a word, example by example."""
        key = ("items", *(e.tokens or e.text for e in examples))
        vectors = self.backbone.shared.get(key, lambda: self._vectors(examples))
        return vectors if self.raw else nn.functional.normalize(vectors, dim=1) * self.width**0.5

    def _vectors(self, examples: Sequence[Example]) -> Tensor:
        if examples and examples[0].tokens is not None:
            return torch.cat([self.backbone.embed_words(e.tokens or ()) for e in examples])
        return self.backbone.embed([e.text for e in examples])

    def length(self, example: Example) -> int:
        """Return the number of tokens of an example as it is read."""
        return self.backbone.length(example.text)

    def refusal(self, task: Task) -> str | None:
        """Return why the task's items have no vectors, or None where they have."""
        return self.backbone.word_refusal if task.form == "tags" else None


def item_vectors(backbone: AnyBackbone, layer: float, twice: bool, default_layer: float) -> ItemVectors | EncoderItems:
    """Return the vectors of items on a backbone of either kind.

    Raises:
        UserError: the model has no such layer, or it is an encoder and an option of causal models was given.
    """
    if isinstance(backbone, Backbone):
        return ItemVectors(backbone, layer, twice)
    for option, given in (("layer", layer != default_layer), ("twice", twice)):
        if given:
            raise UserError(
                f"option {option} is given, but only methods on a causal language model read it",
                found=f"the sentence encoder {backbone.config.model}",
                fix="Leave it out.",
            )
    return EncoderItems(backbone)
