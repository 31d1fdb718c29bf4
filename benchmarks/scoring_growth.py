"""How the time and the memory of tree scoring grow with queries, demonstrations and options (`scoring.py`)."""

from __future__ import annotations

import argparse
import io
import resource
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from measuring import rounded, say, take_turns
from prompt_case import Case, random_task, tiny_gpt2

from metaicl.lm.backbone import Backbone
from metaicl.lm.config import BackboneConfig
from task_suites.formats.prompt_format import PromptFormat


def rss_growth(args: argparse.Namespace) -> float:
    """MB by which peak memory grows from 100 to 10,000 queries. Runs first: the slow sides' peaks would hide it."""
    low, high = (10, 100) if args.quick else (100, 10_000)
    model, tokenizer = tiny_gpt2()
    backbone = Backbone(model, tokenizer, BackboneConfig("gpt2-random", "frozen", dtype="float32"))
    task, support, queries = random_task(16, high, 4)
    peak = []
    for count in (low, high):
        Case(backbone, None, PromptFormat(), task, support, queries[:count], args.row_tokens).scores()
        # kilobytes on Linux, bytes on macOS
        peak.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10))
    say(f"peak memory: {peak[0]:.0f} MB at {low} queries, {peak[1]:.0f} MB at {high}")
    return rounded(peak[1] - peak[0])


def growth(args: argparse.Namespace) -> dict[str, Any]:
    """Exponents of time in queries, demonstrations and options (direct, the tree only), and the plot."""
    model, tokenizer = tiny_gpt2()
    backbone = Backbone(model, tokenizer, BackboneConfig("gpt2-random", "frozen", dtype="float32"))
    base = {"queries": 20, "k": 2, "options": 4} if args.quick else {"queries": 100, "k": 16, "options": 4}
    grids = {
        "queries": (10, 30, 100) if args.quick else (10, 30, 100, 300, 1000, 3000, 10_000),
        "k": (1, 2, 4) if args.quick else (1, 2, 4, 8, 16, 32, 64),
        "options": (2, 4) if args.quick else (2, 4, 8, 16, 32, 77),
    }
    curves: dict[str, list[float]] = {}
    for axis, values in grids.items():
        curves[axis] = []
        for value in values:
            size = {**base, axis: value}
            task, support, queries = random_task(size["k"], size["queries"], size["options"])
            case = Case(backbone, None, PromptFormat(), task, support, queries, args.row_tokens)
            case.scores()
            curves[axis].append(min(take_turns({"tree": case.scores}, {"tree": args.repeats})["tree"]))
            say(f"growth: {axis} {value}: {curves[axis][-1]:.3f} s")
    exponents = {a: rounded(np.polyfit(np.log(grids[a]), np.log(curves[a]), 1)[0]) for a in grids}
    path = Path(__file__).with_name("scoring_growth.svg")
    plot(grids, curves, exponents, base, io.BytesIO() if args.quick else path)
    return {
        "exponents": exponents,
        "growth_seconds": {a: dict(zip(map(str, grids[a]), map(rounded, curves[a]), strict=True)) for a in grids},
    }


def plot(
    grids: Mapping[str, Sequence[int]],
    curves: Mapping[str, Sequence[float]],
    exponents: Mapping[str, float],
    base: Mapping[str, int],
    target: Path | io.BytesIO,
) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "scoring"})  # text as text, the same ids each time
    figure, axes = pyplot.subplots(1, len(grids), figsize=(11, 3.4), sharey=True, layout="constrained")
    for axis, name in zip(axes, grids, strict=True):
        rest = ", ".join(f"{other} {value}" for other, value in base.items() if other != name)
        axis.loglog(grids[name], curves[name], "o-")
        axis.minorticks_off()
        axis.set_xticks(grids[name], map(str, grids[name]))
        axis.set(xlabel=name, title=f"exponent {exponents[name]:.2f} ({rest})")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("seconds")
    figure.savefig(target, format="svg", metadata={"Date": None})
    say(f"plot: {target.name if isinstance(target, Path) else 'drawn, not kept'}")
