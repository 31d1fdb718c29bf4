"""Which attention this machine is quicker at, measured on one layer of a small model over one episode's tree."""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
from torch import Tensor

from metaicl.lm.attention.plan import plan
from metaicl.lm.attention.tree import tree_attention
from metaicl.lm.machine import least_seconds, measured_once
from metaicl.lm.prompt_tree import Packed, PromptTree, pack

Quick = Literal["tree", "dense"]
HEADS, KEY_HEADS, WIDTH = 9, 3, 64  # of a model of 135 million weights
CLEARLY = 0.8  # the dense mask is taken where it needs at most this share of the tree's time: a tie goes to the tree


def order(device: str, precision: str) -> tuple[Literal["tree", "flex", "dense", "plain"], ...]:
    """Return the attentions in the order in which a model is tried with them on a kind of device ("cpu", "cuda").

    On a GPU that is FlexAttention first, which skips whole blocks of the mask. On a CPU the tree attention and the
    dense mask are timed, forward and backward, once for each machine and precision.
    """
    if device != "cpu":
        return ("flex" if device == "cuda" else "tree"), "dense", "plain"
    measure = partial(_measured, torch.float32 if precision == "float32" else torch.bfloat16)
    quick = measured_once(f"attention in {precision}", ("tree", "dense"), measure)
    return ("dense", "tree", "plain") if quick == "dense" else ("tree", "dense", "plain")


def quicker(tree: float, dense: float) -> Quick:
    """Return the attention to take, from the seconds that each needs."""
    return "dense" if dense < CLEARLY * tree else "tree"


def seconds(kind: Quick, dtype: torch.dtype, rounds: int = 3) -> float:
    """Return the least seconds, over some rounds, of one layer's attention and its gradients."""
    row, generator = _episode(), torch.Generator().manual_seed(0)
    shapes = [(1, heads, len(row.ids), WIDTH) for heads in (HEADS, KEY_HEADS, KEY_HEADS)]
    states = [torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in shapes]
    attend = partial(_dense, row.mask(dtype)) if kind == "dense" else partial(_tree, row)

    def both_ways() -> None:
        torch.autograd.grad(attend(*states).float().sum(), states)

    return least_seconds(both_ways, rounds)


def _measured(dtype: torch.dtype) -> Quick:
    return quicker(seconds("tree", dtype), seconds("dense", dtype))


def _episode(demonstrations: int = 16, queries: int = 8, options: int = 4) -> Packed:
    """Return the row of an episode's tree, all inputs 24 tokens long and all answers two."""
    tree = PromptTree()
    trunk = tree.insert(-1, list(range(26 * demonstrations)))[-1]
    for query in range(queries):
        asked = tree.insert(trunk, [1_000 + query, *range(23)])[-1]
        for option in range(options):
            tree.insert(asked, [2_000 + option, 1, 2])
    return pack([tree])


def _tree(row: Packed, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return tree_attention(torch.nn.Module(), query, key, value, None, tree=plan(row.subtree_end))[0]


def _dense(mask: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    keys, values = (states.repeat_interleave(HEADS // KEY_HEADS, 1) for states in (key, value))
    return torch.nn.functional.scaled_dot_product_attention(query, keys, values, attn_mask=mask).transpose(1, 2)
