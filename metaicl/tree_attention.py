"""Attention over a packed tree on CPU, exact, without a token-by-token mask, forward and backward.

What a row's tokens see falls into parts that a fused kernel computes at full speed: the cached prefix (all rows see
all of it), the trunk of a tree (causal), the trunk as seen by everything below it (no mask), and the small subtrees
below (many side by side in one call, each with a mask of its own few tokens). The parts' results are merged by their
log-sum-exps, as in Hydragen (Juravsky et al. 2024, arXiv 2402.05099), level by level:

    L = logaddexp(L1, L2);   out = out1 * exp(L1 - L) + out2 * exp(L2 - L)

The backward pass of each part is exact for the merged result when it is given the merged output and log-sum-exp;
gradients of the parts add up. The kernels are PyTorch's own CPU flash attention, called directly because they return
the log-sum-exp. They are first-order only: a second derivative raises an error.

Registered with transformers as the attention implementation "prompt_tree", so no model is forked; a call without a
`TreePlan` runs as "sdpa".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from metaicl.prompt_tree import additive_mask

NAME = "prompt_tree"
FILL, LARGEST = 32, 128  # small subtrees are laid side by side up to FILL tokens; one of up to LARGEST stays whole
CHAIN = 192  # a longer causal chain is halved: the kernel computes most of what a causal mask hides


@dataclass(frozen=True)
class Span:
    """Rows `[start, stop)` see keys `[first, last)`: causally (the same tokens) or all of them."""

    start: int
    stop: int
    first: int
    last: int
    causal: bool

    @property
    def rows(self) -> slice:
        return slice(self.start, self.stop)

    @property
    def keys(self) -> slice:
        return slice(self.first, self.last)


@dataclass(frozen=True)
class Bundles:
    """Small subtrees, several a bundle, each bundle one element of a batch.

    Attributes:
        rows: `[bundles, size]` rows of the packed row; a short bundle repeats its first row.
        own: `[bundles, size]` false at those repetitions.
        sees: `[bundles, size, size]` which place sees which.
    """

    rows: Tensor
    own: Tensor
    sees: Tensor

    @cached_property
    def mask(self) -> Tensor:
        """`[bundles, 1, size, size]`, additive; made once for all layers, as is `placed`."""
        return additive_mask(self.sees, torch.float32)[:, None]

    @cached_property
    def placed(self) -> Tensor:
        """The rows of the bundles' own places, bundle by bundle."""
        return self.rows[self.own]


@dataclass(frozen=True)
class TreePlan:
    """How the attention of one packed row falls into parts.

    Attributes:
        length: rows.
        prefix: cached tokens before them, which all rows see.
        own: causal chains and bundles: each row is in exactly one of them.
        above: what rows see of their ancestors beyond that.
    """

    length: int
    prefix: int
    own: tuple[Span | Bundles, ...]
    above: tuple[Span, ...]


def plan(leave: Tensor, prefix: int = 0) -> TreePlan:
    """The plan of a packed row from its ancestor intervals (`Packed.leave`) behind a cached prefix."""
    ends = leave.tolist()
    above = [Span(0, len(ends), 0, prefix, causal=False)] if prefix and ends else []
    chains: list[tuple[int, int]] = []
    bundles: list[list[int]] = []
    ranges = [(0, len(ends))]  # each holds whole subtrees
    while ranges:
        start, stop = ranges.pop()
        bundle: list[int] = []
        while start < stop:
            end = ends[start]
            if end - start <= LARGEST:
                if bundle and len(bundle) + end - start > FILL:
                    bundles.append(bundle)
                    bundle = []
                bundle.extend(range(start, end))
            else:
                tip = start + 1
                while tip < end and ends[tip] == end:
                    tip += 1
                chains.append((start, tip))
                if tip < end:
                    above.append(Span(tip, end, prefix + start, prefix + tip, causal=False))
                    ranges.append((tip, end))
            start = end
        if bundle:
            bundles.append(bundle)
    own: list[Span | Bundles] = [*_batched(bundles, leave)]
    while chains:
        start, stop = chains.pop()
        if stop - start <= CHAIN:
            own.append(Span(start, stop, prefix + start, prefix + stop, causal=True))
        else:
            middle = (start + stop) // 2
            chains += [(start, middle), (middle, stop)]
            above.append(Span(middle, stop, prefix + start, prefix + middle, causal=False))
    return TreePlan(len(ends), prefix, tuple(own), tuple(above))


def _batched(bundles: list[list[int]], leave: Tensor) -> list[Bundles]:
    """Bundles of like size (to the next 32) together."""
    by_size: dict[int, list[list[int]]] = {}
    for bundle in bundles:
        by_size.setdefault(-(-len(bundle) // 32), []).append(bundle)
    found = []
    for group in by_size.values():
        size = max(map(len, group))
        rows = torch.tensor([bundle + bundle[:1] * (size - len(bundle)) for bundle in group])
        own = torch.arange(size) < torch.tensor([len(bundle) for bundle in group])[:, None]
        query, key = rows[:, :, None], rows[:, None, :]
        sees = (key <= query) & (query < leave[key]) & own[:, None, :]
        found.append(Bundles(rows, own, sees))
    return found


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
        NotImplementedError: dropout, soft-capped or sink attention behind a tree.
    """
    if tree is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **kwargs
        )
    if dropout or kwargs.get("softcap") or kwargs.get("s_aux") is not None:
        raise NotImplementedError("tree attention has no dropout, soft cap or sinks")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    wide = torch.promote_types(query.dtype, torch.float32)
    rows = (states[0].transpose(0, 1).to(wide).contiguous() for states in (query, key, value))
    with torch.autocast(query.device.type, enabled=False):  # it would take the kernels back to bf16
        return TreeAttention.apply(*rows, tree, scale)[0][None].to(query.dtype), None


class TreeAttention(torch.autograd.Function):
    """`(query [rows, heads, width], key and value [prefix + rows, key heads, width], plan, scale)`, contiguous and in
    float32 at least, to (output as query, log-sum-exp `[rows, heads]`).

    Not in bf16: there the backward pass takes several times as long at the size of small subtrees (PyTorch 2.13).
    A kernel without a mask takes the query heads of one key head as so many more rows, which spares the repetition of
    keys, and larger blocks of rows are quicker.
    """

    @staticmethod
    def forward(query: Tensor, key: Tensor, value: Tensor, tree: TreePlan, scale: float) -> tuple[Tensor, Tensor]:
        out = torch.empty_like(query)
        lse = query.new_empty(query.shape[:2])
        for part in tree.own:
            if isinstance(part, Span):
                rows, keys = part.rows, part.keys
                out[rows], lse[rows] = _fused(query[rows], key[keys], value[keys], scale, causal=True)
            else:
                o, s = _fused_bundles(*_gathered(query, key, value, part, tree.prefix), scale, part.mask)
                out[part.placed], lse[part.placed] = o[part.own], s[part.own]
        for part in tree.above:
            rows, keys = part.rows, part.keys
            o, s = _fused(query[rows], key[keys], value[keys], scale)
            before = lse[rows]
            out[rows] = torch.lerp(out[rows], o, torch.sigmoid(s - before)[..., None])
            lse[rows] = torch.logaddexp(before, s)
        return out, lse

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        query, key, value, ctx.tree, ctx.scale = inputs
        ctx.save_for_backward(query, key, value, *output)
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph: a second derivative would lack this term
            raise RuntimeError(
                "tree attention has first derivatives only: take backbone.attention dense for second ones"
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
    """The states of bundles, `[bundles, size, heads, width]`, key heads repeated."""
    group = query.shape[1] // key.shape[1]
    k, v = (t[:, :, None].expand(-1, -1, group, -1)[part.rows + prefix].flatten(2, 3) for t in (key, value))
    return query[part.rows], k, v


def _fused(query: Tensor, key: Tensor, value: Tensor, scale: float, causal: bool = False) -> tuple[Tensor, Tensor]:
    """(output `[rows, heads, width]`, log-sum-exp `[rows, heads]`) of rows against keys."""
    q, k, v = _views(query, key, value, causal)
    out, lse = _kernel(q, k, v, 0.0, causal, scale=scale)
    lse = _checked(lse, out)[..., None]
    return _rows_first(out, len(query), causal), _rows_first(lse, len(query), causal)[..., 0]


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
    gq, gk, gv = _kernel_backward(g, q, k, v, o, s[..., 0], 0.0, causal, scale=scale)
    if causal:
        gk, gv = gk.sum(1)[None], gv.sum(1)[None]
    return _rows_first(gq, len(query), causal), gk[0].transpose(0, 1), gv[0].transpose(0, 1)


def _views(query: Tensor, key: Tensor, value: Tensor, causal: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The query's `_view`, and keys and values as the kernel takes them beside it."""
    k, v = (t.transpose(0, 1) for t in (key, value))
    if causal:
        group = query.shape[1] // key.shape[1]
        k, v = (t[:, None].expand(-1, group, -1, -1) for t in (k, v))
    else:
        k, v = k[None], v[None]
    return _view(query, key.shape[1], causal), k, v


def _view(states: Tensor, key_heads: int, causal: bool) -> Tensor:
    """`[rows, heads, width]` as `[key heads, group, rows, width]`; folded, `[1, key heads, group * rows, width]`."""
    split = states.unflatten(1, (key_heads, -1)).permute(1, 2, 0, 3)
    return split if causal else split.flatten(1, 2)[None]


def _rows_first(states: Tensor, rows: int, causal: bool) -> Tensor:
    """`_view` taken back."""
    split = states if causal else states[0].unflatten(1, (-1, rows))
    return split.permute(2, 0, 1, 3).flatten(1, 2)


def _fused_bundles(query: Tensor, key: Tensor, value: Tensor, scale: float, mask: Tensor) -> tuple[Tensor, Tensor]:
    """(output `[bundles, size, heads, width]`, log-sum-exp `[bundles, size, heads]`)."""
    views = (t.transpose(1, 2) for t in (query, key, value))
    out, lse = _kernel(*views, 0.0, False, attn_mask=mask.to(query.dtype), scale=scale)
    return out.transpose(1, 2), _checked(lse, out).transpose(1, 2)


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
    gq, gk, gv = _kernel_backward(*views, 0.0, False, attn_mask=mask.to(query.dtype), scale=scale)
    gk, gv = (g.transpose(1, 2).unflatten(2, (key_heads, -1)).sum(3) for g in (gk, gv))
    return gq.transpose(1, 2), gk, gv


def _checked(lse: Tensor, out: Tensor) -> Tensor:
    """The log-sum-exp, if it is laid out as this PyTorch's should be (it has been rows first, too).

    Raises:
        NotImplementedError: it is not.
    """
    if lse.shape != out.shape[:3]:
        raise NotImplementedError(f"the fused kernel's log-sum-exp is {tuple(lse.shape)} for {tuple(out.shape)}")
    return lse


_kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_kernel_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def register() -> None:
    """Make the implementation known to transformers."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, tree_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)  # for calls without a plan
