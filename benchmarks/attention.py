"""What each part of the tree attention gains: one layer's attention over an episode's tree, forward and backward.

    .venv/bin/python benchmarks/attention.py            # the shape of smollm2-135m's layers, bf16; under a minute

A tree of 16 demonstrations and 16 queries with 4 options each is the attention input of 9 heads of 64, 3 key heads. The
dense additive mask through PyTorch's own attention is the baseline; then the tree attention with one of its settings
taken back at a time. All outputs and gradients are compared with the dense ones in float64.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest.mock import patch

import measuring  # noqa: F401 - it sets the environment, so before torch
import torch
from measuring import say
from torch import Tensor

from metaicl.lm.attention import plan as plan_module
from metaicl.lm.attention import tree as tree_attention
from metaicl.lm.attention.plan import plan
from metaicl.lm.prompt_tree import Packed, PromptTree, pack
from metaicl.training.run import manifest

HEADS, KEY_HEADS, WIDTH = 9, 3, 64
VARIANTS: dict[str, dict[str, int]] = {
    "tree": {},
    "chains_whole": {"CHAIN": 1 << 30},  # one causal call a trunk
    "bundles_of_16": {"FILL": 16, "LARGEST": 128},
    "bundles_of_64": {"FILL": 64, "LARGEST": 128},
    "bundles_of_128": {"FILL": 128, "LARGEST": 128},
}


def episode(rng: random.Random, demonstrations: int, queries: int) -> Packed:
    """Return a tree of random tokens: inputs of 10 to 40 tokens, answers of 1 to 4."""

    def tokens(low: int, high: int) -> list[int]:
        return [rng.randrange(40_000) for _ in range(rng.randint(low, high))]

    tree = PromptTree()
    after = tree.insert(-1, [t for _ in range(demonstrations) for t in (*tokens(10, 40), *tokens(1, 4))])[-1]
    for _ in range(queries):
        query = tree.insert(after, tokens(10, 40))[-1]
        for _ in range(4):
            tree.insert(query, tokens(1, 4))
    return pack([tree])


def dense(row: Packed, dtype: torch.dtype) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    mask = row.mask(dtype)

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        k, v = (t.repeat_interleave(HEADS // KEY_HEADS, 1) for t in (key, value))
        out = torch.nn.functional.scaled_dot_product_attention(query, k, v, attn_mask=mask)
        return out.transpose(1, 2)

    return attend


def changed(settings: dict[str, int]) -> AbstractContextManager[Any]:
    return patch.multiple(plan_module, **settings) if settings else nullcontext()


def tree(row: Packed, settings: dict[str, int]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    with changed(settings):
        tree_plan = plan(row.subtree_end)

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return tree_attention.tree_attention(torch.nn.Identity(), query, key, value, None, tree=tree_plan)[0]

    return attend


def passes(
    attend: Callable[..., Tensor], states: tuple[Tensor, ...], grad: Tensor
) -> tuple[float, float, list[Tensor]]:
    """Return (seconds forward, seconds backward, output and gradients)."""
    started = time.perf_counter()
    out = attend(*states)
    middle = time.perf_counter()
    grads = torch.autograd.grad(out, states, grad)
    return middle - started, time.perf_counter() - middle, [out.detach(), *grads]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--demonstrations", type=int, default=16)
    parser.add_argument("--queries", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--fp32", action="store_true", help="float32 instead of bf16")
    args = parser.parse_args()
    dtype = torch.float32 if args.fp32 else torch.bfloat16
    row = episode(random.Random("attention"), args.demonstrations, args.queries)
    length = len(row.ids)
    generator = torch.Generator().manual_seed(0)

    def states(heads: int) -> Tensor:
        """As a linear layer leaves them: `[1, heads, rows, width]`, rows outermost in memory."""
        made = torch.randn(1, length, heads, WIDTH, generator=generator).to(dtype).transpose(1, 2)
        return made.detach().requires_grad_()

    given = (states(HEADS), states(KEY_HEADS), states(KEY_HEADS))
    grad = torch.randn(1, length, HEADS, WIDTH, generator=generator).to(dtype)
    exact = passes(dense(row, torch.float64), tuple(t.detach().double().requires_grad_() for t in given), grad.double())
    sides = {"dense": dense(row, dtype), **{n: tree(row, s) for n, s in VARIANTS.items()}}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    error: dict[str, float] = {}
    for repeat in range(args.repeats + 1):  # the first warms up
        for name, attend in sides.items():
            forward, backward, found = passes(attend, given, grad)
            error[name] = max(float((a.double() - b).norm() / b.norm()) for a, b in zip(found, exact[2], strict=True))
            if repeat:
                seconds[name].append((forward, backward))
    medians = {n: [statistics.median(part) for part in zip(*s, strict=True)] for n, s in seconds.items()}
    say(f"{length} tokens; milliseconds forward and backward")
    for name, (forward, backward) in medians.items():
        say(f"{name:20s} {forward * 1e3:7.1f} {backward * 1e3:7.1f}   error {error[name]:.1e}")
    whole = {name: sum(m) for name, m in medians.items()}
    line = {
        "benchmark": "attention",
        "speedup_forward": round(medians["dense"][0] / medians["tree"][0], 3),
        "speedup_backward": round(medians["dense"][1] / medians["tree"][1], 3),
        "speedup": round(whole["dense"] / whole["tree"], 3),
        **{f"speedup_over_{n}": round(whole[n] / whole["tree"], 3) for n in sides if n not in ("tree", "dense")},
        "relative_error": {name: round(value, 7) for name, value in error.items()},
        "milliseconds": {n: [round(1e3 * part, 2) for part in m] for n, m in medians.items()},
        "setting": {"tokens": length, "dtype": str(dtype), "repeats": args.repeats, "threads": torch.get_num_threads()},
        **{key: value for key, value in manifest().items() if key in ("machine", "versions")},
    }
    print(json.dumps(line))
    return 0 if error["tree"] <= 1.5 * error["dense"] + 1e-6 else 1


if __name__ == "__main__":
    sys.exit(main())
