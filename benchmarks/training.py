"""A meta-training step on trees against the same step without sharing, in one process, on the same queries.

    python benchmarks/training.py --data FOLDER              all but the last part; FOLDER holds meta-training tasks
    python benchmarks/training.py --data FOLDER --quality    also the time to a quality (takes half an hour)
    python benchmarks/training.py --quick                    a smoke run of seconds; its numbers mean nothing

A step is forward and backward of the negative log-likelihood of the right answers' tokens, 16 demonstrations and 16
queries an episode. Two shapes: a random 4-layer GPT-2 (fp32, all weights learned) and, nested, smollm2-135m (once
pulled) on episodes of real tasks (LoRA on the upper 20 layers, as configs/realtasks.yaml trains it). Sides:

    trees      `InContext.forward`: the queries of an episode in one row after one support set
    padded     MetaICL's way: one query a row, rows padded to 1,024 or to the longest, the best of several batch sizes
    packed     the same sequences packed without padding (best fit decreasing) and isolated by their positions, the best
               of several row budgets, 0 being one sequence a row: no padding, and nothing shared

`padded` computes logits at all positions for the GPT-2, as MetaICL does; elsewhere they are computed at supervised
positions only. The plain sides share the weights of the tree's model, run with sdpa attention, and start from token ids
made beforehand; the trees start from examples whose segments are in the tokeniser's cache. Sides take turns; a ratio is
of the best runs, `..._median` of the medians. Tokens are counted with padding. `peak_mib` is what memory grows by in a
pass over the first episode (Linux). Equality is checked in fp32 against the trees: `max_gradient_diff` is the norm of
the difference over the norm, all weights as one vector, `max_gradient_diff_tensor` the largest difference over the
largest element, tensor by tensor; for smollm2-135m on a small episode with adapters moved away from their zeros.

`time_to_quality_ratio`: both sides train smollm2-135m with 16 queries a step drawn as the trainer draws them, the trees
from one episode, the padded rows each with a task and a support set of its own, as MetaICL does. Same optimiser, rate
constant after 10 steps, so that times can be compared wherever they end. The value is the mean negative log-likelihood
a token of 200 meta-validation queries, computed on trees; drawing and validation are not on the clock. The target is
the lowest running mean of three validations that the trees reach in --quality-minutes, their time that of its last; the
other side has reached it with its first single validation as low. It is stopped at four times the minutes given; if it
has not arrived, the ratio is an upper bound and `time_to_quality_bound` true. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import measuring  # noqa: F401 - it sets the environment, so before torch
import numpy as np
import torch
from measuring import beyond, finish, forget_peak, resident, rounded, say, summary, take_turns, worst
from prompt_case import MODEL, WIDTH, random_task, tiny_gpt2
from time_to_quality import time_to_quality
from training_steps import LORA, TRAINER, Comparison, Step, norm

from metaicl.lm.backbone import Backbone
from metaicl.lm.config import BackboneConfig
from metaicl.training.step_episodes import training_episodes
from task_suites.core.errors import UserError
from task_suites.episodes import Episode
from task_suites.sources import SuiteConfig
from task_suites.task import Task

LIMITS = {
    "max_loss_diff": 1e-4,
    "max_gradient_diff": 5e-4,  # smollm2-135m in fp32 against float64: trees 4e-6, padded 8e-6, packed up to 5e-5
    "max_gradient_diff_tensor": 1e-2,
    "max_loss_diff_as_trained": 5e-2,  # in bf16 the plain sides' logits are rounded to bf16, the trees' are not
}


# --- equality


def differences(case: Comparison) -> dict[str, Any]:
    """Return how far the plain sides' losses and gradients are from the trees', relative to these, the worst of the
    sides."""
    losses: dict[str, float] = {}
    gradients: dict[str, dict[str, torch.Tensor]] = {}
    for name, run in case.sides().items():
        losses[name] = run()
        gradients[name] = case.take_gradients()
    mine = gradients.pop("trees")
    vector, tensor = {}, {}
    for side, theirs in gradients.items():
        assert theirs.keys() == mine.keys()
        apart = {name: theirs[name] - g for name, g in mine.items()}
        vector[side] = rounded(norm(apart) / norm(mine))
        tensor[side] = rounded(max((apart[name].abs().max() / g.abs().max()).item() for name, g in mine.items()))
    say(f"  fp32 gradients differ from the trees' by {vector}, tensor by tensor by {tensor}")
    return {
        "max_loss_diff": rounded(loss_difference(losses)),
        "max_gradient_diff": worst(vector.values()),
        "max_gradient_diff_tensor": worst(tensor.values()),
        "gradient_diff": vector,
    }


def loss_difference(losses: Mapping[str, float]) -> float:
    return worst(abs(loss / losses["trees"] - 1) for loss in losses.values())


def unequal(found: Mapping[str, Any]) -> list[str]:
    """Return what differs by more than it may, or is not a number."""
    return beyond(found, {key: limit for key, limit in LIMITS.items() if key in found})


# --- speed


def compare(case: Comparison, repeats: int) -> tuple[dict[str, Any], float]:
    """Return (times and tokens of the sides, the largest relative difference of their losses)."""
    lengths = [len(row.ids) for rows in case.rows for row in rows]
    say(f"  {case.queries} queries of {min(lengths)} to {max(lengths)} tokens in {len(case.episodes)} episodes")
    memory = peaks(replace(case, episodes=case.episodes[:1], rows=case.rows[:1]))  # also the warm-up
    losses: dict[str, float] = {}
    tokens: dict[str, int] = {}

    def timed(name: str, run: Step) -> None:
        before = case.tokens_run()
        losses[name] = run()
        tokens[name] = case.tokens_run() - before
        case.take_gradients()

    sides = {name: partial(timed, name, run) for name, run in case.sides().items()}
    seconds = take_turns(sides, dict.fromkeys(sides, repeats))
    best = {name: min(values) for name, values in seconds.items()}
    median = {name: float(np.median(values)) for name, values in seconds.items()}
    for name in sides:
        say(f"  {name:8} {best[name]:9.3f} s  {best[name] / best['trees']:6.2f}x  {tokens[name]} tokens")
    plain = ("padded", "packed")
    return {
        **{f"queries_per_s_ratio_{name}": rounded(best[name] / best["trees"]) for name in plain},
        **{f"queries_per_s_ratio_{name}_median": rounded(median[name] / median["trees"]) for name in plain},
        "queries_per_s": {name: rounded(case.queries / best[name]) for name in sides},
        "tokens_per_s": {name: rounded(tokens[name] / best[name]) for name in sides},
        "tokens_per_query": {name: rounded(tokens[name] / case.queries) for name in sides},
        "peak_mib": memory,
        "seconds": {name: summary(values) for name, values in seconds.items()},
        "queries": case.queries,
        "episodes": len(case.episodes),
        "padded_batch": case.batch,
        "packed_budget": case.budget,
    }, loss_difference(losses)


def peaks(case: Comparison) -> dict[str, float | None]:
    """MiB by which memory grows in one pass of each side (Linux; None elsewhere)."""
    found: dict[str, float | None] = {}
    for name, run in case.sides().items():
        before = forget_peak()
        run()
        case.take_gradients()
        found[name] = rounded(resident("VmHWM") - before) if before else None
    return found


# --- the shapes


def run_tiny(args: argparse.Namespace) -> dict[str, Any]:
    """Return the random GPT-2, fp32, all weights."""
    say("random GPT-2")
    model, tokenizer = tiny_gpt2()
    backbone = Backbone(model, tokenizer, BackboneConfig("gpt2-random", "full", dtype="float32", device="cpu"))
    size = 2 if args.quick else 16
    task, support, queries = random_task(size, size, 4)
    episode = Episode((0, task.name, "train", 0), task, tuple(support), tuple(queries))
    case = Comparison.of(backbone, [episode], width=128 if args.quick else WIDTH, everywhere=True)
    case = case.tuned((1, 2) if args.quick else (4, 8), (0, 512) if args.quick else (0, 1536, 2048, 4096), size, 2)
    equal = differences(case)
    found, loss = compare(case, 1 if args.quick else args.repeats)
    equal["max_loss_diff"] = rounded(worst([equal["max_loss_diff"], loss]))
    return {**found, **equal, "weights": "full", "precision": "float32"}


def run_backbone(args: argparse.Namespace) -> dict[str, Any] | None:
    """Return the same with the default backbone, and the time to a quality; None, and a line why, where it cannot be
    run."""
    if not args.data or not args.data.is_dir():
        say(f"skipped {MODEL}: no folder of tasks ({args.data or 'give one as --data FOLDER'})")
        return None
    suite, _ = SuiteConfig([str(args.data)], max_words=40, forms=["options"]).open()  # as in configs/realtasks.yaml
    tasks = suite.split("meta_train")
    say(f"{MODEL}, {len(tasks)} meta-training tasks")
    try:
        equal = adapted_differences(tasks)
        backbone = Backbone.load(LORA)
    except UserError as error:
        say(f"skipped {MODEL}: {error}")
        return None
    size = 2 if args.quick else 16
    config = replace(TRAINER, k=size, queries=size, episodes_per_step=1 if args.quick else args.episodes)
    episodes = training_episodes(tasks, config, 0)
    say(f"  episodes of {', '.join(e.task.name for e in episodes)}")
    case = Comparison.of(backbone, episodes, width=128 if args.quick else WIDTH)
    case = case.tuned((2,) if args.quick else (4, 8), (0,) if args.quick else (0, 2048, 4096), 8, 1)
    found, loss = compare(case, 1 if args.quick else min(args.repeats, 2))
    found.update(equal, max_loss_diff_as_trained=rounded(loss), weights="lora", precision=backbone.config.dtype)
    found["tasks"] = [e.task.name for e in episodes]
    found["quality"] = time_to_quality(case, suite, args) if args.quality else None
    return found


def adapted_differences(tasks: Sequence[Task]) -> dict[str, Any]:
    """`differences` in fp32 on an episode of 4 demonstrations and 4 queries.

    Half of the adapters' weights start at zero, where the other half's gradients vanish: so they are moved.
    """
    backbone = Backbone.load(replace(LORA, dtype="float32"))
    generator = torch.Generator().manual_seed(0)
    for name, p in backbone.trainable().items():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.02, generator=generator)
    episodes = training_episodes(tasks, replace(TRAINER, k=4, queries=4), 0)
    return differences(Comparison.of(backbone, episodes, width=320, budget=600))  # padding; two a row


# --- the time to a quality


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of real tasks, for the default backbone")
    parser.add_argument("--quick", action="store_true", help="small numbers: does it run?")
    parser.add_argument("--repeats", type=int, default=5, help=f"runs of each side (at most 2 with {MODEL})")
    parser.add_argument("--episodes", type=int, default=2, help=f"episodes of a run with {MODEL}")
    parser.add_argument("--skip-backbone", action="store_true")
    parser.add_argument("--quality", action="store_true", help=f"also the time to a quality with {MODEL} (takes long)")
    parser.add_argument("--quality-minutes", type=float, default=4.0, help="training time of the trees")
    args = parser.parse_args()

    result: dict[str, Any] = {"benchmark": "training", **run_tiny(args)}
    found = None if args.skip_backbone else run_backbone(args)
    quality = (found or {}).get("quality") or {}
    result["time_to_quality_ratio"] = quality.get("time_to_quality_ratio")
    result["time_to_quality_bound"] = quality.get("bound")
    result[MODEL] = found
    setting = {"threads": torch.get_num_threads(), "quick": args.quick, "objective": "tokens"}
    result["setting"] = setting
    return finish(result, [*unequal(result), *(f"{MODEL} {what}" for what in unequal(found or {}))])


if __name__ == "__main__":
    sys.exit(main())
