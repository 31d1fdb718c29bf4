"""Tree scoring against the slow ways of the same thing, in one process, on the same inputs, results checked equal.

    python benchmarks/scoring.py --data FOLDER     all; FOLDER holds the tasks ag_news and trec_question_type
    python benchmarks/scoring.py --quick           a smoke run of about a minute; its numbers mean nothing
    python benchmarks/scoring.py --growth          also how time grows, with a plot beside this file (takes long)
    python benchmarks/scoring.py --only matmul     only `time_over_matmul` (or `--only growth`)

Two shapes: a random 4-layer GPT-2 (16 demonstrations, 100 queries, 4 options), and smollm2-135m (once pulled) on two
real tasks, where the slow sides run on ten queries and are scaled by rows. Sides, the tree and lm_eval
scoring from text, the others from token ids made beforehand:

    tree           PromptScorer, made again for each run, so its prefix is paid for each time
    prefix_reuse   plain key-value reuse, the best of several batch sizes
    llmbox         LLMBox's way: states of the prefix and of each question are cached, a question's options are a batch
    sorted         rows sorted by length, dynamic padding, batch 16
    padded         MetaICL's way: rows padded to 1,024, batch 16
    lm_eval        lm-evaluation-harness (direct only; `pip install lm_eval==0.4.13`, or null)

`padded` and `sorted` compute logits at all positions for the GPT-2, as MetaICL does; for smollm2-135m, where those of a
batch take 3 GB, at scored positions only, which favours them. Ratios are of the best run of each side; sides take
turns. A difference is that of a sequence's log-probability from plain sequences in float64: `max_abs_logprob_diff` the
tree's, `max_abs_logprob_diff_of_others` the other sides'. `tokenise_share_pct` is the share of the tree's time that
encoding its texts takes. `tokens_over_trie` counts tokens that ran over all distinct token prefixes,
`tokens_over_inner_nodes` over those that have to run (a prompt's last token need not).
`time_over_matmul` is the bf16 time over that of its linear layers and output embedding by themselves, without any
product of attention; `time_over_matmul_fp32` the same in float32 (a core whose bf16 products are slow flatters the
first). The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import baselines
import measuring  # noqa: F401 - it sets the environment, so before torch
import numpy as np
import torch
from baselines import MatrixProducts, Prompts, Scores
from measuring import finish, rounded, say, summary, take_turns
from prompt_case import MODEL, WIDTH, Case, random_task, tiny_gpt2
from scoring_growth import growth, rss_growth

from metaicl.lm.backbone import Backbone
from metaicl.lm.config import BackboneConfig
from metaicl.lm.models import resolve
from task_suites.core.errors import UserError
from task_suites.episodes import EpisodeSampler
from task_suites.formats.prompt_format import PromptFormat
from task_suites.sources import open_suite

REAL_TASKS = ("ag_news", "trec_question_type")
EQUAL = 1e-4  # the tree's largest difference of a sequence's log-probability, fp32 against float64
EQUAL_OTHERS = 3e-4  # the other sides': their own rounding, on sums of some 200 nats
SLOW = ("padded", "sorted", "lm_eval")
CACHED = ("prefix_reuse", "llmbox")  # they run the prefix once, whatever the number of rows


# --- the random GPT-2


# --- timing


# --- the comparison


def compare(
    case: Case,
    *,
    few: int,
    everywhere: bool,
    width: int,
    batches: Sequence[int],
    repeats: int,
    slow_repeats: int,
    harness: Callable[[], Scores] | None = None,
    chosen: Sequence[str] = (),
) -> dict[str, Any]:
    """Times and differences of one case, its keys without the suffix for the format.

    The other sides run on the first `few` queries; their times are scaled by rows (those that keep the prefix's states:
    without it). `chosen` names the sides that are compared, all where it is empty.
    """
    prompts = case.prompts()
    part = prompts.first(sum(len(q.options or ()) for q in case.queries[:few]))
    scale = len(prompts.rows) / len(part.rows)
    say_lengths(prompts, part)
    tree, counts = counted(case)  # warm-up, counting and the values to check
    batch = baselines.best_batch(case.plain, part, batches)
    say(f"  prefix reuse: batch {batch} is best of {list(batches)}")
    baselines.padded(case.plain, part.first(2), batch=2, everywhere=everywhere)  # warm-up
    found: dict[str, Scores] = {}
    runs = ways(case, part, batch, everywhere, width) | ({"lm_eval": harness} if harness else {})
    runs = {name: run for name, run in runs.items() if not chosen or name in ("tree", *chosen)}
    sides: dict[str, Callable[[], Any]] = {name: partial(_keep, found, name, run) for name, run in runs.items()}
    if scale > 1:
        sides["prefix"] = partial(baselines.prefix_states, case.plain, part)
    seconds = scaled(take_turns(sides, {n: slow_repeats if n in SLOW else repeats for n in sides}), scale)
    difference = _differences(case, part, batch, found)
    again = float(np.abs(found["tree"] - tree).max())  # between two of the tree's own runs
    best = {name: min(values) for name, values in seconds.items()}
    say_best(best, difference)
    checked = [d for name, d in difference.items() if name != "tree"]
    tokenise = min(case.tokenise_seconds() for _ in range(repeats))
    return {
        **{f"speedup_vs_{name}": rounded(best[name] / best["tree"]) for name in best if name != "tree"},
        "max_abs_logprob_diff": rounded(max(difference["tree"], again)),
        "max_abs_logprob_diff_of_others": rounded(float(np.max(checked))),
        "tokenise_share_pct": rounded(100 * tokenise / best["tree"]),
        **counts,
        "seconds": {name: summary(values) for name, values in seconds.items()},
        "rows": len(prompts.rows),
        "prefix_reuse_batch": batch,
    }


def say_lengths(prompts: Prompts, part: Prompts) -> None:
    """Say how many rows of which lengths there are, and how many of them the slow sides run."""
    lengths = [len(context) + len(answer) for context, answer in prompts.whole()]
    say(f"  {len(lengths)} rows of {min(lengths)} to {max(lengths)} tokens; slow sides run {len(part.rows)}")


def say_best(best: dict[str, float], difference: dict[str, float]) -> None:
    """Say each side's best time, over the tree's, and how far its scores are from the plain ones."""
    for name, seconds in best.items():
        say(f"  {name:12} {seconds:9.3f} s  {seconds / best['tree']:6.2f}x  differs by {difference[name]:.1e}")


def ways(case: Case, part: Prompts, batch: int, everywhere: bool, width: int) -> dict[str, Callable[[], Scores]]:
    """Return the sides that run in this process, by name; all but the tree score `part`."""
    plain, settings = case.plain, {"everywhere": everywhere}
    return {
        "tree": case.scores,
        "prefix_reuse": partial(baselines.prefix_reuse, plain, part, batch),
        "llmbox": partial(baselines.llmbox, plain, part),
        "sorted": partial(baselines.by_length, plain, part, **settings),
        "padded": partial(baselines.padded, plain, part, width=width, **settings),
    }


def scaled(seconds: dict[str, list[float]], scale: float) -> dict[str, list[float]]:
    """Return the seconds as if all rows had run on the other sides; a prefix whose states are kept runs once."""
    prefix = min(seconds.pop("prefix", [0.0]))
    for name in seconds.keys() & {*SLOW, *CACHED}:
        fixed = prefix if name in CACHED else 0.0
        seconds[name] = [fixed + (s - fixed) * scale for s in seconds[name]]
    return seconds


def _keep(found: dict[str, Scores], name: str, run: Callable[[], Scores]) -> None:
    found[name] = run()


def _differences(case: Case, part: Prompts, batch: int, found: dict[str, Scores]) -> dict[str, float]:
    """Return each side's largest difference from plain sequences in float64."""
    exact = baselines.prefix_reuse(copy.deepcopy(case.plain).double(), part, batch)
    return {name: float(np.abs(v[: len(exact)] - exact).max()) for name, v in found.items()}


def counted(case: Case) -> tuple[Scores, dict[str, float]]:
    """Return the tree's scores, and how many tokens ran for them.

    Positions are counted where they enter the embedding, tokens by the backbone itself; what the first has more is
    padding.
    """
    positions = 0

    def count(module: Any, inputs: Any, output: Any) -> None:
        nonlocal positions
        positions += inputs[0].numel()

    before, model = case.backbone.tokens_run, case.backbone.model
    hook = cast(Any, model).get_input_embeddings().register_forward_hook(count)
    scores = case.scores()
    hook.remove()
    tokens = case.backbone.tokens_run - before
    nodes, inner, _ = case.prompts().trie()
    return scores, {
        "tokens_over_trie": rounded(tokens / nodes),
        "tokens_over_inner_nodes": rounded(tokens / inner),
        "padding_pct": rounded(100 * (positions - tokens) / positions),
    }


def time_over_matmul(case: Case, repeats: int) -> dict[str, float]:
    """Scoring time over the bare time of its products with weights, and these over the products that are needed."""
    with MatrixProducts(case.backbone.model) as products:
        case.scores()
    products.replay()
    seconds = take_turns({"tree": case.scores, "bare": products.replay}, {"tree": repeats, "bare": repeats})
    _, inner, asked = case.prompts().trie()
    head = case.plain.get_output_embeddings()
    layers = sum(m.weight.numel() for m in case.plain.modules() if isinstance(m, torch.nn.Linear) and m is not head)
    needed = layers * inner + head.weight.numel() * asked
    tree, bare = min(seconds["tree"]), min(seconds["bare"])
    over = products.products / needed
    precision = case.backbone.config.dtype
    say(f"  {precision} {tree:.3f} s, bare products {bare:.3f} s: {tree / bare:.2f}; products over needed {over:.3f}")
    suffix = "" if precision == "bfloat16" else f"_{precision}"
    return {
        f"time_over_matmul{suffix}": rounded(tree / bare),
        f"{precision}_seconds": rounded(tree),
        f"bare_{precision}_seconds": rounded(bare),
        "products_over_needed": rounded(over),
    }


# --- shapes


def run_tiny(args: argparse.Namespace) -> dict[str, Any]:
    """Return the shape of the random GPT-2, both formats."""
    model, tokenizer = tiny_gpt2()
    backbone = Backbone(copy.deepcopy(model), tokenizer, BackboneConfig("gpt2-random", "frozen", dtype="float32"))
    task, support, queries = random_task(2 if args.quick else 16, 6 if args.quick else 100, 4)
    result: dict[str, Any] = {"speedup_vs_lm_eval": None}
    for channel in (False, True):
        say(f"random GPT-2, {'channel' if channel else 'direct'}")
        case = Case(backbone, model, PromptFormat(channel=channel), task, support, queries, args.row_tokens)
        with tempfile.TemporaryDirectory() as folder:
            harness = None if channel else lm_eval_side(args, case, len(queries), Path(folder))
            found = compare(
                case,
                few=len(queries),
                everywhere=True,
                width=128 if args.quick else WIDTH,
                batches=(8, 16) if args.quick else (4, 8, 16, 32, 64, 128),
                repeats=args.repeats,
                slow_repeats=args.slow_repeats,
                harness=harness,
                chosen=args.sides,
            )
        result.update(suffixed(found, channel))
    return result


def run_backbone(args: argparse.Namespace) -> dict[str, Any] | None:
    """Return the same with the default backbone on real tasks, by task; None, and a line why, where it cannot be
    run."""
    if not args.data or not all((args.data / name).is_dir() for name in REAL_TASKS):
        say(f"skipped {MODEL}: no folder with {' and '.join(REAL_TASKS)} ({args.data or 'give one as --data FOLDER'})")
        return None
    from transformers import AutoModelForCausalLM

    try:
        plain = AutoModelForCausalLM.from_pretrained(resolve(MODEL), dtype=torch.float32).eval()
    except UserError as error:
        say(f"skipped {MODEL}: {error}")
        return None
    backbones = {
        p: Backbone.load(BackboneConfig(MODEL, "frozen", dtype=p, device="cpu")) for p in ("float32", "bfloat16")
    }
    suite = open_suite(str(args.data))
    few = 1 if args.quick else args.few
    sampler = EpisodeSampler(seed=0, k=2 if args.quick else 16, queries=2 if args.quick else args.backbone_queries)
    result: dict[str, Any] = {}
    for name in REAL_TASKS[-1:] if args.quick else REAL_TASKS:
        episode = sampler.draw(suite[name], "test", 0)
        of = (episode.task, episode.support, episode.queries, args.row_tokens)
        result[name] = {"speedup_vs_lm_eval": None}
        for backbone in backbones.values():
            say(f"{MODEL}, {name}, {backbone.config.dtype}")
            result[name].update(time_over_matmul(Case(backbone, plain, PromptFormat(), *of), min(args.repeats, 3)))
        for channel in (False, True) if args.only is None else ():
            say(f"{MODEL}, {name}, {'channel' if channel else 'direct'}")
            case = Case(backbones["float32"], plain, PromptFormat(channel=channel), *of)
            with tempfile.TemporaryDirectory() as folder:
                harness = None if channel else lm_eval_side(args, case, few, Path(folder))
                found = compare(
                    case,
                    few=few,
                    everywhere=False,
                    width=128 if args.quick else WIDTH,
                    batches=(4,) if args.quick else (4, 8, 16),
                    repeats=min(args.repeats, 2),
                    slow_repeats=1,
                    harness=harness,
                    chosen=args.sides,
                )
            result[name].update(suffixed(found, channel))
    return result


def lm_eval_side(args: argparse.Namespace, case: Case, few: int, folder: Path) -> Callable[[], Scores] | None:
    """lm_eval as a side, after a warm-up on two queries; None, and a line why, where it is not installed."""
    if args.skip_lm_eval or baselines.lm_eval_version() is None:
        why = "--skip-lm-eval" if args.skip_lm_eval else "not installed (pip install lm_eval==0.4.13)"
        say(f"  without lm_eval: {why}")
        return None
    (folder / "warm").mkdir()
    (folder / "timed").mkdir()
    side = partial(baselines.lm_eval, case.plain, case.backbone.tokenizer, case.support)
    side(case.queries[:2], folder / "warm")()
    return side(case.queries[:few], folder / "timed")


def suffixed(found: dict[str, Any], channel: bool) -> dict[str, Any]:
    return {f"{key}_channel": value for key, value in found.items()} if channel else found


# --- growth


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of real tasks, for the default backbone")
    parser.add_argument("--quick", action="store_true", help="small numbers: does it run?")
    parser.add_argument("--repeats", type=int, default=5, help="runs of the tree and of prefix reuse; the best counts")
    parser.add_argument("--slow-repeats", type=int, default=1, help="runs of the slow sides with the random GPT-2")
    parser.add_argument("--row-tokens", type=int, help="the scorer's row budget (default: its own)")
    parser.add_argument("--backbone-queries", type=int, default=100, help=f"queries a task for {MODEL}")
    parser.add_argument("--few", type=int, default=10, help=f"of these, how many the slow sides run for {MODEL}")
    parser.add_argument("--sides", nargs="+", default=(), help="compare the tree with these sides only")
    parser.add_argument("--skip-lm-eval", action="store_true")
    parser.add_argument("--skip-backbone", action="store_true")
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--only", choices=("matmul", "growth"), help="one measure and nothing else")
    args = parser.parse_args()

    result: dict[str, Any] = {"benchmark": "scoring"}
    if args.only is None:
        result.update(rss_growth_mb=rss_growth(args), **run_tiny(args))
    found = None if args.skip_backbone or args.only == "growth" else run_backbone(args)
    tasks = list((found or {}).values())
    result["time_over_matmul"] = max((t["time_over_matmul"] for t in tasks), default=None)
    result[MODEL] = found
    result.update(growth(args) if args.growth or args.only == "growth" else {"exponents": None})
    setting = {"threads": torch.get_num_threads(), "quick": args.quick, "row_tokens": args.row_tokens}
    result.update(setting=setting, versions={"lm_eval": baselines.lm_eval_version()})
    differences = [(key, d[key]) for d in (result, *tasks) for key in d if key.startswith("max_abs_logprob_diff")]
    equal = all(d <= (EQUAL_OTHERS if "of_others" in key else EQUAL) for key, d in differences)  # NaN is not
    wrong = f"log-probabilities differ by {differences}, more than {EQUAL}, or {EQUAL_OTHERS} of others"
    return finish(result, [] if equal else [wrong])


if __name__ == "__main__":
    sys.exit(main())
