"""Which rows of a packed tree see which keys, as parts that fused kernels compute (metaicl/lm/attention/tree.py)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import torch
from torch import Tensor

from metaicl.lm.prompt_tree import additive_mask

FILL, LARGEST = 32, 128  # small subtrees are laid side by side up to FILL tokens; one of up to LARGEST stays whole
CHAIN = 192  # a longer causal chain is halved: the kernel computes most of what a causal mask hides
FEW = 32  # rows up to which one mask for all keys is quicker than blocks
BLOCK = 64  # rows of a block of the forward pass


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
        sees: `[bundles, size, size]` which position sees which.
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
        """Return the rows of the bundles' own positions, bundle by bundle."""
        return self.rows[self.own]


@dataclass(frozen=True)
class Block:
    """Rows `[start, stop)` and what they see: all keys of `[first, last)`, and some of `rest`.

    Attributes:
        rest: `[others]` keys.
        mask: `[stop - start, 1, others]`, additive.
    """

    start: int
    stop: int
    first: int
    last: int
    rest: Tensor
    mask: Tensor


@dataclass(frozen=True)
class TreePlan:
    """How the attention of one packed row falls into parts (backward) and blocks (forward).

    Attributes:
        subtree_end: `[rows]` ends of what lies below each row.
        prefix: cached tokens before them, which all rows see.
        own: causal chains and bundles: each row is in exactly one of them.
        above: what rows see of their ancestors beyond that.
        smooth: no fused kernels, so that there are second derivatives.
    """

    subtree_end: Tensor
    prefix: int
    own: tuple[Span | Bundles, ...]
    above: tuple[Span, ...]
    smooth: bool = False

    @property
    def is_small(self) -> bool:
        return len(self.subtree_end) <= FEW

    @cached_property
    def mask(self) -> Tensor:
        """`[rows, keys]`, additive, over the prefix's keys and the rows'; made once for all layers."""
        rows = torch.arange(len(self.subtree_end))
        sees = (rows <= rows[:, None]) & (rows[:, None] < self.subtree_end)
        return additive_mask(torch.nn.functional.pad(sees, (self.prefix, 0), value=True), torch.float32)

    @cached_property
    def blocks(self) -> list[list[Block]]:
        """All rows, in lists of blocks that see the same `[first, last)` whole; made once for all layers."""
        length = len(self.subtree_end)
        ends = torch.cat([torch.full((self.prefix,), length), self.subtree_end])
        blocks = [self._block(ends, start, min(start + BLOCK, length)) for start in range(0, length, BLOCK)]
        return [list(alike) for _, alike in groupby(blocks, key=lambda b: (b.first, b.last))]

    def _block(self, ends: Tensor, start: int, stop: int) -> Block:
        """`ends` are the `subtree_end` of all keys, those of the prefix included."""
        here = torch.arange(self.prefix + start, self.prefix + stop)
        before = torch.nonzero(ends[: self.prefix + start] > start)[:, 0]
        whole = (ends[before] >= stop) & (before == before[:1] + torch.arange(len(before)))
        count = int(whole.long().cumprod(0).sum())
        first = int(before[0]) if count else 0
        rest = torch.cat([before[count:], here])
        sees = (rest <= here[:, None]) & (here[:, None] < self.prefix + ends[rest])
        return Block(start, stop, first, first + count, rest, additive_mask(sees, torch.float32)[:, None])


def plan(subtree_end: Tensor, prefix: int = 0, smooth: bool = False) -> TreePlan:
    """Return the plan of a packed row from its ancestor intervals (`Packed.subtree_end`) after a cached prefix."""
    ends = subtree_end.tolist()
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
    own: list[Span | Bundles] = [*_batched(bundles, subtree_end)]
    while chains:
        start, stop = chains.pop()
        if stop - start <= CHAIN:
            own.append(Span(start, stop, prefix + start, prefix + stop, causal=True))
        else:
            middle = (start + stop) // 2
            chains += [(start, middle), (middle, stop)]
            above.append(Span(middle, stop, prefix + start, prefix + middle, causal=False))
    return TreePlan(subtree_end, prefix, tuple(own), tuple(above), smooth)


def _batched(bundles: list[list[int]], subtree_end: Tensor) -> list[Bundles]:
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
        sees = (key <= query) & (query < subtree_end[key]) & own[:, None, :]
        found.append(Bundles(rows, own, sees))
    return found
