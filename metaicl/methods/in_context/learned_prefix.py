"""The first tokens of a prompt as tensors that learn: their keys and values in every layer, or their embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from metaicl.lm.backbone import Backbone, Params
from metaicl.lm.output_head import wide
from metaicl.lm.soft_tokens import soft_tokens


@dataclass(frozen=True)
class LearnedPrefix:
    """What is learned of a prompt's prefix.

    Attributes:
        leaves: what learns, in float32 at least; none where no token does.
        cache: makes the states of the whole prefix from the leaves as they are.
    """

    leaves: list[Tensor]
    cache: Callable[[], Any]

    @classmethod
    def of(
        cls,
        backbone: Backbone,
        learned: Sequence[int],
        prefix: Sequence[int],
        learned_as: Literal["states", "embeddings"],
        params: Params | None,
    ) -> LearnedPrefix:
        """Return what learns, at first as the model reads these tokens.

        Args:
            learned: the first tokens of the prefix, which learn; the others are read after them.
            prefix: all tokens.
        """

        def whole(cache: Any) -> Any:
            return backbone.prefix(prefix, params, learned, cache) if len(prefix) > len(learned) else cache

        if not learned:
            return cls([], lambda: whole(backbone.prefix(())))
        of_tokens = _learned_embeddings if learned_as == "embeddings" else _learned_states
        return of_tokens(backbone, learned, whole, params)


def _learned_embeddings(
    backbone: Backbone, learned: Sequence[int], whole: Callable[[Any], Any], params: Params | None
) -> LearnedPrefix:
    embedding = backbone.base_model.get_input_embeddings()
    with torch.no_grad():
        leaf = wide(embedding(torch.tensor(learned, device=backbone.device))).clone().requires_grad_()

    def cache() -> Any:
        with soft_tokens(embedding, leaf):
            read = backbone.prefix(learned, params)
        return whole(read)

    return LearnedPrefix([leaf], cache)


def _learned_states(
    backbone: Backbone, learned: Sequence[int], whole: Callable[[Any], Any], params: Params | None
) -> LearnedPrefix:
    with torch.no_grad():
        read = backbone.prefix(learned, params)
    own = [states for layer in read.layers for states in (layer.keys, layer.values)]
    leaves = [wide(states).clone().requires_grad_() for states in own]

    def cache() -> Any:
        states = iter([leaf.to(kind.dtype) for leaf, kind in zip(leaves, own, strict=True)])
        made = backbone.prefix(learned, params, learned, read)  # a copy
        for layer in made.layers:
            layer.keys, layer.values = next(states), next(states)
        return whole(made)

    return LearnedPrefix(leaves, cache)
