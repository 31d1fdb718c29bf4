"""Vectors instead of the first tokens' embeddings, as prompt tuning learns them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def soft_tokens(embedding: nn.Module, vectors: Tensor) -> Iterator[None]:
    """Return a context in which a row's first embeddings are `vectors` (`[count, width]`), whatever its first token ids
    are.

    Args:
        embedding: the model's input embedding, from token ids `[1, rows]` to `[1, rows, width]`.
    """

    def replace(module: nn.Module, args: Any, output: Tensor) -> Tensor:
        return torch.cat([vectors.to(output.dtype)[None], output[:, len(vectors) :]], 1)

    hook = embedding.register_forward_hook(replace)
    try:
        yield
    finally:
        hook.remove()
