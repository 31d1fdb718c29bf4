"""Attention over a packed tree on CUDA: PyTorch's FlexAttention with the tree as a block mask, forward and backward.

A mask of 11,000 tokens, computed pair by pair, takes gigabytes; here each block of keys gives the first and last
row that see any of it, and for those that see all of it, so that the mask costs what its blocks do.

Registered with transformers as the attention implementation "prompt_flex"; a call without a block mask runs as "sdpa".
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metaicl.lm.prompt_tree import Packed

NAME = "prompt_flex"
BLOCK = 128  # rows and keys of a block: FlexAttention's own


def block_mask(row: Packed, device: torch.device, prefix: int = 0) -> Any:
    """Return which of `prefix + length` keys each of the row's tokens sees, as FlexAttention's block mask.

    All rows see the whole prefix, and row q sees row k where `k <= q < subtree_end[k]`.
    """
    from torch.nn.attention.flex_attention import BlockMask

    length = len(row.ids)
    first = torch.cat([torch.zeros(prefix, dtype=torch.long), torch.arange(length)])  # the rows that see a key
    stop = torch.cat([torch.full((prefix,), length), row.subtree_end])
    some, whole = _blocks(first, stop, length)
    first, stop = first.to(device), stop.to(device)

    def sees(batch: Tensor, head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return (first[k] <= q) & (q < stop[k])

    in_part, of_all = _listed((some & ~whole).to(device)), _listed(whole.to(device))
    sizes = (length, len(first))
    return BlockMask.from_kv_blocks(*in_part, *of_all, BLOCK_SIZE=BLOCK, mask_mod=sees, seq_lengths=sizes)


def _blocks(first: Tensor, stop: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Return `[row blocks, key blocks]` twice: whether a row of the block may see one of its keys, and whether all
    see all."""
    start = torch.arange(0, length, BLOCK)[:, None]
    short = -len(first) % BLOCK  # a last block that is not full has keys that nothing sees
    begin = torch.nn.functional.pad(first, (0, short), value=length + BLOCK).unflatten(0, (-1, BLOCK))
    end = torch.nn.functional.pad(stop, (0, short), value=0).unflatten(0, (-1, BLOCK))
    some = (begin.amin(1) < start + BLOCK) & (end.amax(1) > start)
    whole = (begin.amax(1) <= start) & (end.amin(1) >= start + BLOCK)
    return some, whole


def _listed(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """Return `[1, 1, row blocks]` how many key blocks each block of rows has, and `[1, 1, row blocks, key blocks]`
    which (these first, in their order)."""
    order = blocks.int().argsort(dim=1, descending=True, stable=True)
    return blocks.sum(1, dtype=torch.int32)[None, None], order.int()[None, None]


def flex_attention(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **kwargs: Any
) -> tuple[Tensor, Tensor | None]:
    """An attention function of transformers: `[batch, heads, rows, width]` in, `[batch, rows, heads, width]` out."""
    from torch.nn.attention.flex_attention import BlockMask
    from transformers.integrations.flex_attention import flex_attention_forward
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if not isinstance(attention_mask, BlockMask):
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    # under autocast the rotation gives queries and keys in float32, where the values come as they left their product
    query, key = query.to(value.dtype), key.to(value.dtype)
    # for fewer than 128 rows PyTorch takes a kernel for decoding, which it cannot build with grouped heads here
    options = {"FORCE_USE_FLEX_ATTENTION": True}
    return flex_attention_forward(module, query, key, value, attention_mask, kernel_options=options, **kwargs)


def register() -> None:
    """Make the implementation known to transformers."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, flex_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)  # for calls without a block mask
