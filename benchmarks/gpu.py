"""Trees on a GPU against padded rows with FlashAttention, in one process, on the same queries, results checked equal.

    python benchmarks/gpu.py                    a random Llama of Llama 3.2 1B's shape; some three minutes
    python benchmarks/gpu.py --shape smollm2    the default backbone's shape
    python benchmarks/gpu.py --quick            small numbers: does it run?

Episodes are 16 demonstrations and 16 queries of random words (`random_task`), prompts of some 700 tokens.
Training is forward and backward of the right answers' log-likelihood, all weights learned, bf16 products over float32
weights; scoring is of four options a query, bf16 weights. Sides:

    flex       trees with FlexAttention (`InContext.forward`, `PromptScorer`), `--episodes` of them a row
    dense      the same with a dense additive mask
    padded     MetaICL's way: one query (and option) a row, padded to 1,024, FlashAttention
    sorted     the same rows sorted by length, a batch padded to its longest row

The plain sides run without a mask (right padding needs none), compute logits at requested positions only, and take the
best of several batch sizes. Their prompts are token ids made beforehand; the trees' time holds building, packing,
masking. `mfu_pct` is what a side's own tokens need (weights, attended pairs, requested logits; three times that in
training) over time and `--peak-tflops`. Equality, in fp32: losses and gradients on a small episode, a sequence's
log-probability on all; `max_..._bf16` is the same as timed. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import measuring  # noqa: F401 - it sets the environment, so before torch
import numpy as np
import torch
import torch.nn.functional as F
from measuring import beyond, finish, rounded, say, summary, worst
from prompt_case import WIDTH, Case, random_task, tiny_gpt2
from torch.nn.attention import SDPBackend, sdpa_kernel
from training_steps import Row, norm, rows_of

from metaicl.lm.backbone import Backbone
from metaicl.lm.config import BackboneConfig
from metaicl.lm.prompt_tree import PromptTree
from metaicl.methods.in_context.icl import InContext
from task_suites.episodes import Episode
from task_suites.formats.prompt_format import PromptFormat

ONE_B = {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32}
SMOL = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9}
SHAPES = {
    "1b": {**ONE_B, "num_key_value_heads": 8, "vocab_size": 128256},
    "smollm2": {**SMOL, "num_key_value_heads": 3, "vocab_size": 49152},
    "tiny": {**SMOL, "num_hidden_layers": 2, "num_key_value_heads": 3, "vocab_size": 2048},
}
LIMITS = {"max_loss_diff": 1e-4, "max_gradient_diff": 1e-3, "max_abs_logprob_diff": 1e-3}


def llama(shape: str) -> Any:
    """Return a random Llama in float32; rotations, norms and products as the real one's."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        **SHAPES[shape], max_position_embeddings=8192, tie_word_embeddings=True, bos_token_id=0, eos_token_id=0
    )
    with torch.random.fork_rng(), torch.device("cuda"):
        torch.manual_seed(0)
        return LlamaForCausalLM(config).eval()


def wrap(model: Any, tokenizer: Any, weights: str, precision: str, attention: str) -> Backbone:
    config = BackboneConfig("random", weights, dtype=precision, device="cuda", attn_implementation=attention)  # type: ignore[arg-type]
    return Backbone(model, tokenizer, config)


def longest_first(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: -len(row.ids))


def plain_losses(model: Any, rows: Sequence[Row], batch: int, width: int) -> list[torch.Tensor]:
    """Summed negative log-likelihood of each row's answer, batch by batch, padded to `width` or the longest."""
    losses: list[torch.Tensor] = []
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        longest = max(width, *(len(row.ids) for row in part))
        ids = torch.tensor([row.ids + [0] * (longest - len(row.ids)) for row in part]).cuda()
        asked = [(r, p) for r, row in enumerate(part) for p in range(row.answer - 1, len(row.ids) - 1)]
        r, p = torch.tensor(asked).T.cuda()
        hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state[r, p]
        lost = F.cross_entropy(model.lm_head(hidden).float(), ids[r, p + 1], reduction="none")
        losses.extend(torch.zeros(len(part), device="cuda").index_add(0, r, lost))
    return losses


def fused() -> Any:
    return sdpa_kernel(SDPBackend.FLASH_ATTENTION)


def timed(run: Callable[[], Any], repeats: int) -> list[float]:
    """Seconds of each run, after one that is not counted."""
    found = []
    for _ in range(repeats + 1):
        torch.cuda.synchronize()
        started = time.perf_counter()
        run()
        torch.cuda.synchronize()
        found.append(time.perf_counter() - started)
    return found[1:]


def fastest(run: Callable[[int], Any], batches: Sequence[int], repeats: int) -> list[float]:
    """`timed` with the batch size that is fastest of those that fit."""
    tries = []
    for batch in batches:
        try:
            tries.append(timed(partial(run, batch), repeats))
        except torch.OutOfMemoryError:
            say(f"  a batch of {batch} does not fit")
            torch.cuda.empty_cache()
    return min(tries, key=min)


def flops(shape: Any, lengths: Sequence[int], pairs: int, scored: int) -> float:
    """Return the operations of a forward pass over these lengths, `pairs` that attend, and `scored` logits."""
    width, kv = shape.hidden_size, shape.num_key_value_heads * shape.hidden_size // shape.num_attention_heads
    weights = shape.num_hidden_layers * width * (2 * width + 2 * kv + 3 * shape.intermediate_size)
    attention, head = 4.0 * width * shape.num_hidden_layers * pairs, 2.0 * scored * width * shape.vocab_size
    return 2.0 * sum(lengths) * weights + attention + head


def tree_flops(shape: Any, forest: Sequence[PromptTree], scored: int) -> float:
    """Return the same for trees: `scored` positions have logits, and a leaf does not run."""
    runs = [{*tree.parent} - {-1} for tree in forest]
    depths = [len(tree.path(n)) for tree, nodes in zip(forest, runs, strict=True) for n in nodes]
    return flops(shape, [len(nodes) for nodes in runs], sum(depths), scored)


def row_flops(shape: Any, rows: Sequence[Row], width: int) -> float:
    """Of rows as they run, padding included."""
    lengths = [max(width, len(row.ids)) for row in rows]
    return flops(shape, lengths, sum(n * (n + 1) // 2 for n in lengths), sum(row.supervised for row in rows))


def report(
    kind: str, seconds: dict[str, list[float]], queries: int, work: dict[str, float], peak: float
) -> dict[str, Any]:
    best = {name: min(values) for name, values in seconds.items()}
    for name, value in best.items():
        times, share = value / best["flex"], 100 * work[name] / value / peak
        rate = f"{1e3 * value:9.1f} ms  {times:6.2f}x  {queries / value:8.1f} queries/s"
        say(f"  {kind} {name:7} {rate}  MFU {share:.1f} %")
    return {
        f"{kind}_queries_per_s": {n: rounded(queries / v) for n, v in best.items()},
        f"{kind}_over_padded": rounded(best["padded"] / best["flex"]),
        f"{kind}_over_sorted": rounded(best["sorted"] / best["flex"]),
        f"{kind}_over_dense": rounded(best["dense"] / best["flex"]),
        f"{kind}_mfu_pct": {n: rounded(100 * work[n] / v / peak) for n, v in best.items()},
        f"{kind}_seconds": {n: summary(v) for n, v in seconds.items()},
    }


def episode_of(number: int, size: int) -> Episode:
    task, support, queries = random_task(size, size * (number + 1), 4)
    return Episode((0, task.name, "train", number), task, tuple(support), tuple(queries[-size:]))


def differences(methods: dict[str, InContext], plain: Any, episode: Episode) -> dict[str, Any]:
    """Return how far the trees' losses and gradients are from those of plain rows, in the precision that the methods
    have."""
    rows = rows_of(methods["flex"].backbone, episode)
    losses, gradients = {}, {}
    for name in ("padded", *methods):
        model = plain if name == "padded" else methods[name].backbone.model
        loss = torch.stack(plain_losses(plain, rows, 4, 300)).sum() if name == "padded" else methods[name]([episode])[0]
        loss.backward()
        losses[name] = loss.item()
        gradients[name] = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        model.zero_grad()
    exact, loss = gradients.pop("padded"), losses.pop("padded")
    apart = [norm({n: mine[n] - g for n, g in exact.items()}) / norm(exact) for mine in gradients.values()]
    found = {
        "max_loss_diff": rounded(worst(abs(mine / loss - 1) for mine in losses.values())),
        "max_gradient_diff": rounded(worst(apart)),
    }
    say(f"a small episode in fp32: {found}")
    return found


def training(args: argparse.Namespace, peak: float) -> dict[str, Any]:
    size = 2 if args.quick else 16
    tokenizer = tiny_gpt2()[1]
    model = llama(args.shape)
    shape, plain = model.config, copy.deepcopy(model)
    episodes = [episode_of(i, size) for i in range(args.episodes)]
    backbones: dict[str, Backbone] = {}
    for attention in ("flex", "dense"):
        mine = copy.deepcopy(model) if attention == "dense" else model
        backbones[attention] = wrap(mine, tokenizer, "full", "float32", attention)
    rows = [row for e in episodes for row in rows_of(backbones["flex"], e)]
    methods = {name: InContext(b, PromptFormat(), InContext.Config()) for name, b in backbones.items()}

    found = differences(
        methods, plain, replace(episodes[0], support=episodes[0].support[:4], queries=episodes[0].queries[:4])
    )
    for backbone in backbones.values():
        backbone.config = replace(backbone.config, dtype="bfloat16")
    values: dict[str, float] = {}

    def trees(name: str) -> None:
        loss, _ = methods[name](episodes)
        loss.backward()
        values[name] = loss.item()
        backbones[name].model.zero_grad()

    def padded(name: str, width: int, batch: int) -> None:
        values[name] = 0.0
        order = rows if width else longest_first(rows)
        for start in range(0, len(order), batch):
            with fused(), torch.autocast("cuda", torch.bfloat16):
                loss = torch.stack(plain_losses(plain, order[start : start + batch], batch, width)).sum()
            loss.backward()
            values[name] += loss.item()
        plain.zero_grad()

    seconds = {name: timed(partial(trees, name), args.repeats) for name in backbones}
    for name, width in (("padded", WIDTH), ("sorted", 0)):
        seconds[name] = fastest(partial(padded, name, width), (4, 8, 16), min(2, args.repeats))
    forest = [methods["flex"].tree(e.task, e.support, e.queries).tree for e in episodes]
    supervised = sum(row.supervised for row in rows)
    work = dict.fromkeys(("flex", "dense"), 3 * tree_flops(shape, forest, supervised))
    work |= {"padded": 3 * row_flops(shape, rows, WIDTH), "sorted": 3 * row_flops(shape, rows, 0)}
    found |= report("training", seconds, len(rows), work, peak)
    found["max_loss_diff_bf16"] = rounded(worst(abs(v / values["padded"] - 1) for v in values.values()))
    found["tokens_a_row"] = sum(map(len, forest))
    found["peak_gib"] = rounded(torch.cuda.max_memory_allocated() / 2**30)
    return found


@torch.no_grad()
def plain_scores(model: Any, rows: Sequence[Row], width: int, batch: int) -> np.ndarray:
    """Summed log-probabilities `[rows]`, in their order; without a width the longest rows run first."""
    order = list(range(len(rows))) if width else sorted(range(len(rows)), key=lambda i: -len(rows[i].ids))
    with fused() if model.dtype == torch.bfloat16 else nullcontext():
        losses = plain_losses(model, [rows[i] for i in order], batch, width)
    scores = np.empty(len(rows))
    scores[order] = -torch.stack(losses).double().cpu().numpy()
    return scores


def scored(args: argparse.Namespace, peak: float) -> dict[str, Any]:
    size, count = (2, 2) if args.quick else (16, 100)
    tokenizer, model = tiny_gpt2()[1], llama(args.shape)
    task, support, queries = random_task(size, count, 4)
    found: dict[str, Any] = {}
    seconds: dict[str, list[float]] = {}
    work: dict[str, float] = {}
    for precision in ("float32", "bfloat16"):
        values: dict[str, np.ndarray] = {}
        if precision == "bfloat16":
            model = model.to(torch.bfloat16)
        plain = copy.deepcopy(model)
        for attention in ("flex", "dense"):
            backbone = wrap(copy.deepcopy(model), tokenizer, "frozen", precision, attention)
            budgets = (None,) if args.quick or precision == "float32" else args.row_tokens
            for budget in budgets:
                case = Case(backbone, plain, PromptFormat(), task, support, queries, budget)
                values[attention] = case.scores()
                if precision == "bfloat16":
                    spent = timed(case.scores, args.repeats)
                    say(f"  {attention}, rows of {budget} tokens: {1e3 * min(spent):.1f} ms")
                    seconds[attention] = min(seconds.get(attention, spent), spent, key=min)
        prompts = case.prompts()
        rows = [Row([*context, *answer], len(context)) for context, answer in prompts.whole()]

        exact = plain_scores(plain, rows, 0, 8)
        suffix = "" if precision == "float32" else "_bf16"
        apart = {s: float(np.abs(v - exact).max()) for s, v in values.items()}
        found[f"max_abs_logprob_diff{suffix}"] = rounded(worst(apart.values()))
        say(f"{precision}: log-probabilities differ by {apart}")
    for name, width in (("padded", WIDTH), ("sorted", 0)):
        seconds[name] = fastest(partial(plain_scores, plain, rows, width), (16, 32, 64), min(2, args.repeats))
        work[name] = row_flops(model.config, rows, width)
    tree = PromptTree()
    for context, answer in prompts.whole():
        tree.insert(tree.insert(-1, context)[-1], answer)
    work |= dict.fromkeys(("flex", "dense"), tree_flops(model.config, [tree], prompts.trie()[2]))
    return {**found, **report("scoring", seconds, len(queries), work, peak)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=list(SHAPES), default="1b")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--episodes", type=int, default=8, help="trees of a training row")
    parser.add_argument("--row-tokens", type=int, nargs="+", default=[2048, 8192, 16384], help="tried in scoring")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peak-tflops", type=float, default=989.4, help="dense bf16 (H100 and H200 SXM, data sheet)")
    args = parser.parse_args()
    if args.quick:
        args.shape, args.episodes, args.repeats = "tiny", 2, 1
    if not torch.cuda.is_available():
        parser.error("there is no GPU here")
    card = torch.cuda.get_device_name(0)
    say(f"{card}, {args.shape}, {args.episodes} episodes a row")
    peak = args.peak_tflops * 1e12
    result: dict[str, Any] = {"benchmark": "gpu", "shape": args.shape, "card": card, "episodes": args.episodes}
    result |= training(args, peak)
    torch.cuda.empty_cache()
    result |= scored(args, peak)
    result["peak_tflops"] = args.peak_tflops
    return finish(result, beyond(result, LIMITS))


if __name__ == "__main__":
    sys.exit(main())
