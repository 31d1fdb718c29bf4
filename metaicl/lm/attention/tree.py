"""Attention over a packed tree on CPU, exact, without a token-by-token mask, forward and backward.

Forward, blocks of consecutive rows see one range of keys whole (the cached prefix, a trunk), which is a fused kernel's
work, and few others, under a mask of their own. The two are merged by log-sum-exp, as in Hydragen (Juravsky et al.
2024, arXiv 2402.05099):

    L = logaddexp(L1, L2);   out = out1 * exp(L1 - L) + out2 * exp(L2 - L)

Backward, what rows see falls into parts that a fused kernel computes at full speed: the prefix, the trunk of a tree
(causal), the trunk as seen by everything below it (no mask), and the small subtrees below (many side by side in one
call, each with a mask of its own few tokens). Each part's backward pass is exact for the merged result when it is
given the merged output and log-sum-exp, whatever the parts of the forward pass were; gradients of the parts add up.
The kernels (metaicl/lm/attention/kernel.py) have first derivatives only; a plan made for second ones (`smooth`) runs
its blocks as plain products.

Registered with transformers as the attention implementation "prompt_tree", so no model is forked; a call without a
`TreePlan` runs as "sdpa".
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metaicl.lm.attention.kernel import fused_attention, fused_attention_backward
from metaicl.lm.attention.plan import Bundles, Span, TreePlan
from metaicl.lm.refused import Refused

NAME = "prompt_tree"


def tree_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    tree: TreePlan | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface: `[1, heads, rows, width]` in, `[1, rows, heads, width]` out.

    Raises:
        Refused: dropout, soft-capped or sink attention in a tree.
    """
    if tree is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **kwargs
        )
    for reason, given in (
        ("dropout", dropout),
        ("a soft cap", kwargs.get("softcap")),
        ("attention sinks", kwargs.get("s_aux") is not None),
    ):
        if given:
            raise Refused(f"its attention has {reason}, which tree attention does not have")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    wide = torch.promote_types(query.dtype, torch.float32)
    with torch.autocast(query.device.type, enabled=False):  # it would take the kernels back to bf16
        if not (torch.is_grad_enabled() and any(states.requires_grad for states in (query, key, value))):
            if tree.is_small:
                return _attend_at_once(query[0], key[0], value[0], tree, scale)[None], None
            return _attend(query[0], key[0], value[0], tree, scale)[None], None
        if tree.smooth:
            out = _attend_plainly(query[0].to(wide), key[0].to(wide), value[0].to(wide), tree, scale)
            return out[None].to(query.dtype), None
        rows = (states[0].transpose(0, 1).to(wide).contiguous() for states in (query, key, value))
        return TreeAttention.apply(*rows, tree, scale)[0][None].to(query.dtype), None


def _attend(
    query: Tensor, key: Tensor, value: Tensor, tree: TreePlan, scale: float, total: Tensor | None = None
) -> Tensor:
    """Return, for `[heads, rows, width]` and twice `[key heads, prefix + rows, width]`, the output `[rows, heads,
    width]` in the query's precision, block by block; the log-sum-exp is written into `total` (`[rows, heads]`), if
    given.

    What blocks see whole is one kernel's; its output and log-sum-exp stand beside their other keys as one more value
    and score.
    """
    wide = torch.promote_types(query.dtype, torch.float32)
    keys, values = key.to(wide), value.to(wide)
    by_key = query.unflatten(0, (len(key), -1)).transpose(1, 2)
    heads, rows, group, width = by_key.shape
    result = query.new_empty(rows, heads, group, width)
    for alike in tree.blocks:
        start, first, last = alike[0].start, alike[0].first, alike[0].last
        q = by_key[:, start : alike[-1].stop].to(wide, memory_format=torch.contiguous_format).flatten(1, 2)
        if first < last:
            out, lse = fused_attention(q[None], keys[None, :, first:last], values[None, :, first:last], scale)
            out, lse = out[0], lse[0]
        else:
            out, lse = torch.zeros_like(q), q.new_full(q.shape[:2], float("-inf"))
        for block in alike:
            part = slice((block.start - start) * group, (block.stop - start) * group)
            k, v = keys[:, block.rest], values[:, block.rest]
            scores = q.new_empty(heads, part.stop - part.start, k.shape[1] + 1)
            scores[..., -1] = lse[:, part]
            own = scores[..., :-1]
            torch.baddbmm(own, q[:, part], k.transpose(1, 2), beta=0, alpha=scale, out=own)
            own.unflatten(1, (-1, group)).add_(block.mask)
            shares = scores.softmax(-1)
            merged = (out[:, part] * shares[..., -1:]).baddbmm_(shares[..., :-1], v)
            result[block.start : block.stop] = merged.unflatten(1, (-1, group)).transpose(0, 1)
            if total is not None:  # the largest share is exp(largest score - log-sum-exp)
                whole = scores.amax(-1) - shares.amax(-1).log()
                total[block.start : block.stop] = whole.unflatten(1, (-1, group)).transpose(0, 1).flatten(1)
    return result.flatten(1, 2)


def _attend_at_once(query: Tensor, key: Tensor, value: Tensor, tree: TreePlan, scale: float) -> Tensor:
    """Return `_attend` under one mask for all keys, which is quicker for a few rows."""
    wide = torch.promote_types(query.dtype, torch.float32)
    by_key = query.to(wide).reshape(len(key), -1, query.shape[-1])  # the query heads of a key head as further rows
    scores = torch.bmm(by_key * scale, key.to(wide).transpose(1, 2))
    scores.unflatten(1, (-1, len(tree.mask))).add_(tree.mask)
    return (scores.softmax(-1) @ value.to(wide)).to(query.dtype).view(query.shape).transpose(0, 1)


def _attend_plainly(query: Tensor, key: Tensor, value: Tensor, tree: TreePlan, scale: float) -> Tensor:
    """Return `_attend` in operations that autograd differentiates as often as needed."""
    by_key = query.unflatten(0, (len(key), -1))
    found = []
    for block in (block for alike in tree.blocks for block in alike):
        seen = torch.cat([torch.arange(block.first, block.last), block.rest])
        mask = torch.nn.functional.pad(block.mask[:, 0], (block.last - block.first, 0)).to(query.dtype)
        scores = by_key[:, :, block.start : block.stop] @ key[:, None, seen].transpose(-1, -2) * scale + mask
        found.append(scores.softmax(-1) @ value[:, None, seen])
    return torch.cat(found, 2).flatten(0, 1).transpose(0, 1)


class TreeAttention(torch.autograd.Function):
    """`(query [rows, heads, width], key and value [prefix + rows, key heads, width], plan, scale)`, contiguous and in
    float32 at least, to (output as query, log-sum-exp `[rows, heads]`).

    Not in bf16: there the backward pass takes several times as long at the size of small subtrees (PyTorch 2.13).
    A kernel without a mask takes the query heads of one key head as further rows, which spares the repetition of
    keys, and larger blocks of rows are quicker.
    """

    @staticmethod
    def forward(query: Tensor, key: Tensor, value: Tensor, tree: TreePlan, scale: float) -> tuple[Tensor, Tensor]:
        lse = query.new_empty(query.shape[:2])
        query, key, value = (states.transpose(0, 1) for states in (query, key, value))
        return _attend(query, key, value, tree, scale, lse), lse

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        query, key, value, ctx.tree, ctx.scale = inputs
        ctx.save_for_backward(query, key, value, *output)
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph: a second derivative would lack this term
            raise RuntimeError(
                "fused tree attention has first derivatives only: use twice_differentiable for second ones"
            )
        query, key, value, out, lse = ctx.saved_tensors
        tree, scale, grad = ctx.tree, ctx.scale, grad.contiguous()
        into = torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)
        for states in into[1:]:
            states[: tree.prefix] = 0
        for part in tree.own:
            if isinstance(part, Span):
                rows, keys = part.rows, part.keys
                pieces = _fused_backward(
                    grad[rows], query[rows], key[keys], value[keys], out[rows], lse[rows], scale, causal=True
                )
                for states, place, piece in zip(into, (rows, keys, keys), pieces, strict=True):
                    states[place] = piece
            else:
                q_rows, k_rows = part.placed, part.placed + tree.prefix
                pieces = _fused_bundles_backward(
                    torch.where(part.own[..., None, None], grad[part.rows], 0),
                    *_gathered(query, key, value, part, tree.prefix),
                    out[part.rows],
                    lse[part.rows],
                    scale,
                    part.mask,
                    key.shape[1],
                )
                for states, place, piece in zip(into, (q_rows, k_rows, k_rows), pieces, strict=True):
                    states[place] = piece[part.own]
        for part in tree.above:
            rows, keys = part.rows, part.keys
            pieces = _fused_backward(grad[rows], query[rows], key[keys], value[keys], out[rows], lse[rows], scale)
            for states, place, piece in zip(into, (rows, keys, keys), pieces, strict=True):
                states[place] += piece
        return *into, None, None


def _gathered(query: Tensor, key: Tensor, value: Tensor, part: Bundles, prefix: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the states of bundles, `[bundles, size, heads, width]`, key heads repeated."""
    group = query.shape[1] // key.shape[1]
    k, v = (t[:, :, None].expand(-1, -1, group, -1)[part.rows + prefix].flatten(2, 3) for t in (key, value))
    return query[part.rows], k, v


def _fused_backward(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Tensor,
    lse: Tensor,
    scale: float,
    causal: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients as query, key and value."""
    q, k, v = _views(query, key, value, causal)
    g, o, s = (_view(t, key.shape[1], causal) for t in (grad, out, lse[..., None]))
    gq, gk, gv = fused_attention_backward(g, q, k, v, o, s[..., 0], 0.0, causal, scale=scale)
    if causal:
        gk, gv = gk.sum(1)[None], gv.sum(1)[None]
    return _rows_first(gq, len(query), causal), gk[0].transpose(0, 1), gv[0].transpose(0, 1)


def _views(query: Tensor, key: Tensor, value: Tensor, causal: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return the query's `_view`, and keys and values as the kernel takes them beside it."""
    k, v = (t.transpose(0, 1) for t in (key, value))
    if causal:
        group = query.shape[1] // key.shape[1]
        k, v = (t[:, None].expand(-1, group, -1, -1) for t in (k, v))
    else:
        k, v = k[None], v[None]
    return _view(query, key.shape[1], causal), k, v


def _view(states: Tensor, key_heads: int, causal: bool) -> Tensor:
    """Return `[rows, heads, width]` as `[key heads, group, rows, width]`; folded, `[1, key heads, group * rows,
    width]`."""
    split = states.unflatten(1, (key_heads, -1)).permute(1, 2, 0, 3)
    return split if causal else split.flatten(1, 2)[None]


def _rows_first(states: Tensor, rows: int, causal: bool) -> Tensor:
    """Return `_view` taken back."""
    split = states if causal else states[0].unflatten(1, (-1, rows))
    return split.permute(2, 0, 1, 3).flatten(1, 2)


def _fused_bundles_backward(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Tensor,
    lse: Tensor,
    scale: float,
    mask: Tensor,
    key_heads: int,
) -> tuple[Tensor, Tensor, Tensor]:
    views = (t.transpose(1, 2) for t in (grad, query, key, value, out, lse))
    gq, gk, gv = fused_attention_backward(*views, 0.0, False, attn_mask=mask.to(query.dtype), scale=scale)
    gk, gv = (g.transpose(1, 2).unflatten(2, (key_heads, -1)).sum(3) for g in (gk, gv))
    return gq.transpose(1, 2), gk, gv


def register() -> None:
    """Make the implementation known to transformers."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, tree_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)  # for calls without a plan
