"""The inner loops of a meta-batch: this project's against the usual ways, in one process, to the same adapted weights.

    python benchmarks/inner_loop.py                                       a random 6-layer Llama, four minutes
    python benchmarks/inner_loop.py --model smollm2-135m --data FOLDER    the real one (once pulled) on real tasks
    python benchmarks/inner_loop.py --quick                               a smoke run; its numbers mean nothing

Several episodes, 16 demonstrations each, take 5 steps of gradient descent on the mean loss of the answers' tokens, LoRA
adapters in the upper third of the layers, float32. Sides:

    ours         `MAML.inner`: layers below the first adapter run once an episode, no copy of the model
    unshared     the same with all layers run at every step
    loop         copy.deepcopy of the model for each episode, then model(..., labels=...), backward, torch.optim.SGD
    tuned        the same with no mask (the padding is on the right) and with logits at the answers' tokens only
    clone        learn2learn's way, written here: modules cloned with all their weights, which stay in the graph
    func         torch.func.grad over torch.func.functional_call
    vmap         the same, all episodes at once: torch.func.vmap over stacked adapters
    func shared, vmap shared    the two with the layers below the first adapter run once an episode

All but ours run one demonstration a row, padded to the longest, with PyTorch's fused attention; all but the plain loop
have the tuned one's loss. The batches are made beforehand; ours begins with examples whose segments are in the
tokeniser's cache. Sides take turns; ratios are of the best runs, over ours. `max_rel_diff` is the largest difference of
an adapted weight over the largest in its tensor, `max_rel_diff_step` that of the movement from the start. `fastest` is
the quickest side. `shared_lower_ratio` is how many times fewer tokens go through the first layer in ours than in the
loop. Second order is the meta-gradient of an episode, queries included, by ours (order 2) and by clones with
create_graph, attention by PyTorch's plain mathematics in both. `peak_mib` is what memory grows by in forward and
backward of one meta-step over inner steps, first order and second (Linux). The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import measuring  # noqa: F401 - it sets the environment, so before torch
import torch
from inner_loop_sides import Comparison
from measuring import beyond, finish, forget_peak, resident, rounded, say, summary, take_turns, worst
from prompt_case import MODEL, VOCABULARY, random_task, tiny_gpt2
from torch import Tensor

from metaicl.lm.backbone import Backbone
from metaicl.lm.config import BackboneConfig
from metaicl.lm.tiny import tiny_model
from task_suites.core.errors import UserError
from task_suites.episodes import Episode, EpisodeSampler
from task_suites.sources import open_suite

LIMITS = {"max_rel_diff": 1e-5, "max_rel_diff_second_order": 1e-3}


# --- learn2learn's way


def difference(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """Return the largest difference of an entry over the largest in its tensor."""
    assert one.keys() == other.keys()
    return worst(((one[n] - other[n]).abs().max() / other[n].abs().max()).item() for n in one)


# --- what is measured


def equality(case: Comparison) -> dict[str, Any]:
    start = case.plain.learned()
    found = {name: run() for name, run in case.sides().items()}
    mine = found["ours"]
    step = [{n: p - start[n] for n, p in weights.items()} for weights in mine]
    apart, moved = {}, {}
    for name, theirs in found.items():
        if name == "ours":
            continue
        apart[name] = rounded(worst(difference(a, b) for a, b in zip(mine, theirs, strict=True)))
        steps = [{n: p - start[n] for n, p in weights.items()} for weights in theirs]
        moved[name] = rounded(worst(difference(a, b) for a, b in zip(step, steps, strict=True)))
    say(f"  adapted weights differ from ours by {apart}, their movement by {moved}")
    far = max((p.abs().max() / start[n].abs().max()).item() for weights in step for n, p in weights.items())
    say(f"  the largest movement of a weight over the largest weight of its tensor: {far:.2f}")
    return {"max_rel_diff": max(apart.values()), "max_rel_diff_step": max(moved.values())}


def lower_ratio(case: Comparison) -> float:
    """Tokens through the first layer with every step running all layers, over ours."""
    tokens: list[int] = []
    mlp = cast(Any, case.method.backbone.lower.layers[0]).mlp  # layers that are passed through do not call it
    hook = mlp.register_forward_hook(lambda module, args, output: tokens.append(output.shape[:-1].numel()))
    case.ours()
    mine = sum(tokens)
    tokens.clear()
    case.unshared()
    hook.remove()
    return sum(tokens) / mine


def compare(case: Comparison, repeats: int) -> dict[str, Any]:
    seconds = take_turns(case.sides(), dict.fromkeys(case.sides(), repeats))
    best = {name: min(values) for name, values in seconds.items()}
    for name, value in best.items():
        say(f"  {name:12} {value:8.3f} s  {value / best['ours']:6.2f}x ours")
    ratios = {name: rounded(value / best["ours"]) for name, value in best.items() if name != "ours"}
    return {
        "speedup_vs_loop": ratios["loop"],
        "speedup_vs_clone": ratios["clone"],
        "speedup_vs_tuned_loop": ratios["tuned"],
        "speedup_of_sharing": ratios["unshared"],
        **{f"time_{name}_over_ours": ratios[name] for name in ("func", "func_shared", "vmap", "vmap_shared")},
        "fastest": min(best, key=lambda name: best[name]),
        "seconds": {name: summary(values) for name, values in seconds.items()},
    }


def second_order(case: Comparison, steps: int, repeats: int) -> dict[str, Any]:
    sides = {
        "ours": partial(case.meta_gradient, 2, steps),
        "clone": partial(case.cloned_meta_gradient, steps),
        "first": partial(case.meta_gradient, 1, steps),
    }
    apart = difference(sides["ours"](), sides["clone"]())
    seconds = {name: min(v) for name, v in take_turns(sides, dict.fromkeys(sides, repeats)).items()}
    say(
        f"  second order, {steps} steps: {seconds['ours']:.3f} s, clone {seconds['clone']:.3f} s, differ by {apart:.1e}"
    )
    return {
        "max_rel_diff_second_order": rounded(apart),
        "speedup_vs_clone_second_order": rounded(seconds["clone"] / seconds["ours"]),
        "second_over_first_order_time": rounded(seconds["ours"] / seconds["first"]),
    }


def memory(case: Comparison, steps: Sequence[int]) -> dict[str, dict[str, float | None]]:
    """MiB by which memory grows in a meta-gradient, over inner steps."""
    found: dict[str, dict[str, float | None]] = {"first": {}, "second": {}}
    for order, name in ((1, "first"), (2, "second")):
        for count in steps:
            before = forget_peak()
            case.meta_gradient(order, count)
            found[name][str(count)] = rounded(resident("VmHWM") - before) if before else None
        say(f"  peak memory, {name} order, MiB over inner steps: {found[name]}")
    return found


# --- the shapes


def random_episodes(count: int, k: int) -> list[Episode]:
    episodes = []
    for number in range(count):
        task, support, queries = random_task((number + 1) * k, (number + 1) * k, 4)
        key = (0, task.name, "train", number)
        episodes.append(Episode(key, task, tuple(support[-k:]), tuple(queries[-k:])))
    return episodes


def backbone_and_episodes(args: argparse.Namespace) -> tuple[Backbone, list[Episode]]:
    count, k = (2, 2) if args.quick else (args.episodes, args.k)
    adapters: dict[str, Any] = {
        "dtype": "float32",
        "device": "cpu",
        "lora_r": 4,
        "lora_alpha": 8,
        "target_modules": "query-value",
    }
    if args.model == "random":
        _, tokenizer = tiny_gpt2()
        model = tiny_model(width=64 if args.quick else 256, layers=6, vocabulary=VOCABULARY).eval()
        config = BackboneConfig("random", "lora", lora_layers=2, **adapters)
        return Backbone(model, tokenizer, config), random_episodes(count, k)
    if args.data is None:
        raise UserError(f"{args.model} is measured on real tasks", fix="--data FOLDER")
    config = BackboneConfig(args.model, "lora", lora_layers=10, **adapters)
    suite = open_suite(str(args.data))
    tasks = [t for t in suite.split("meta_train") if t.form == "options"][:count]
    sampler = EpisodeSampler(0, k, k)
    return Backbone.load(config), [sampler.draw(task, "train", i) for i, task in enumerate(tasks)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="random", help=f"random, or a model such as {MODEL}")
    parser.add_argument("--data", type=Path, help="folder of real tasks, for a model that is not random")
    parser.add_argument("--episodes", type=int, default=4)
    parser.add_argument("--k", type=int, default=16, help="demonstrations of an episode, and its queries")
    parser.add_argument("--steps", type=int, default=5, help="inner steps")
    parser.add_argument("--rate", type=float, help="theirs; so that weights move as far as they are large")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--curve", type=int, nargs="+", default=[1, 2, 3, 4, 5, 6, 7, 8], help="inner steps of peak_mib"
    )
    parser.add_argument("--quick", action="store_true", help="small numbers: does it run?")
    args = parser.parse_args()
    if args.quick:
        args.repeats, args.curve, args.rate = 1, [1, 2], args.rate or 0.3  # ten times less at a quarter of the width

    backbone, episodes = backbone_and_episodes(args)
    args.rate = args.rate or (3.0 if args.model == "random" else 0.01)
    case = Comparison.of(backbone, episodes, args.steps, args.rate)
    say(f"{args.model}: {len(episodes)} episodes, {args.steps} steps, {backbone.lower.count} layers below the adapters")
    result: dict[str, Any] = {"benchmark": "inner_loop", **equality(case), **compare(case, args.repeats)}
    result["shared_lower_ratio"] = rounded(lower_ratio(case))
    result.update(second_order(case, min(args.curve[-1], 3), min(args.repeats, 3)))
    result["peak_mib"] = memory(case, args.curve)
    setting = {name: getattr(args, name) for name in ("model", "k", "steps", "rate", "quick")}
    setting |= {"episodes": len(episodes), "threads": torch.get_num_threads(), "precision": "float32"}
    result["setting"] = setting
    return finish(result, beyond(result, LIMITS))


if __name__ == "__main__":
    sys.exit(main())
