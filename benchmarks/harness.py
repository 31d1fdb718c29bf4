"""What the harness gains by sharing, what it costs beside the methods, and whether a killed evaluation ends alike.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/harness.py              # smollm2-135m; six minutes
    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/harness.py --quick      # a tiny model, two kills

Raw in-context learning under every calibration is compared at two numbers of demonstrations. The other side runs the
same cells one by one: each option of each query as a plain prompt of its own, nothing taken from another cell. It
answers the first `--few` queries of each cell, must give the same scores, and the seconds of its queries are scaled to
all of them; those of its priors are not. Both sides count the process's own time. Then evaluations of a tiny model are
killed with SIGKILL at random moments, started again, and compared with one that was not killed. The last line is JSON:
`speedup_vs_cells` (bar 8), `overhead_pct` of the harness beside adapting and
answering (bar 10), `resumes_identical`, and `coverage_pct`, the lowest share of nominal 95 % intervals that hold the
truth in simulated gains on 6 and 10 tasks (bar 93 to 97; more in `coverage.py`).
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch; a child that is forked must find no threads of its parent

import numpy as np
from coverage import DRAWS, covered, ours
from resume import ended, forked, killed

from eval.answering import protocol_episode
from eval.cells import Cell
from eval.config import EvaluateRun, Protocol
from eval.contenders import Backbones, Contender, contender
from eval.evaluate import evaluate_run, finish, run_all
from eval.harness import Comparison
from metaicl.lm.config import BackboneConfig
from metaicl.lm.shared_work import nothing_shared, saved_seconds
from metaicl.methods.base import Method
from metaicl.training.run import manifest
from task_suites.formats.prompt_format import PromptFormat
from task_suites.sources import SuiteConfig
from task_suites.task import Task

CALIBRATIONS = ("none", "contextual", "pmi", "cross_fit")
TOLERANCE = 2e-3  # of a score: float32, whole prompts against trees
TIMES = ("created", "command", "seconds", "eval_seconds", "adapt_seconds", "name", "manifest")


def contenders(backbones: Backbones, config: BackboneConfig) -> list[Contender]:
    """Return raw in-context learning under each calibration."""
    made = [contender("icl", config, PromptFormat(), backbones, {"calibration": one}) for one in CALIBRATIONS]
    return [replace(c, name=one, label=one) for c, one in zip(made, CALIBRATIONS, strict=True)]


@dataclass(frozen=True)
class Ours:
    """What the harness took for a comparison.

    Attributes:
        seconds: the process's own time, without loading the model, with report and statistics.
        overhead: the share of the clock's time that is not the methods' own work.
        cells: the finished cells.
    """

    seconds: float
    overhead: float
    cells: Sequence[Cell]


def compared(tasks: Sequence[Task], protocol: Protocol, config: BackboneConfig, folder: Path) -> Ours:
    """Run the comparison as a user's command does."""
    methods = contenders(Backbones(), config)
    methods[0].build()  # loads the model
    comparison, saved = Comparison(tasks, protocol, folder), saved_seconds()
    own, clock = time.process_time(), time.monotonic()
    run_all(comparison, methods, progress=False)
    finish(comparison, methods, PromptFormat(), name="harness")
    seconds, clock = time.process_time() - own, time.monotonic() - clock
    cells = [cell for one in methods for cell in comparison.scored(one)]
    work = sum(cell.seconds for cell in cells) - (saved_seconds() - saved)
    return Ours(seconds, 1 - work / clock, cells)


def alone(method: Method, protocol: Protocol, task: Task, cell: Cell, few: int) -> tuple[float, float]:
    """Answer the first queries of a cell with nothing shared; end the process where a score differs.

    Returns:
        The seconds of the process that the whole cell would take, and the largest difference of a score.
    """
    episode = protocol_episode(protocol, task, cell.seed, cell.k)
    queries = [query.hidden() for query in episode.queries[:few]]
    with nothing_shared():
        started = time.process_time()
        predictor = method.adapt(task, episode.support)
        predictor.prepare()  # the prior of a list of labels
        prepared = time.process_time()
        answers = predictor.answers(queries)
        answered = time.process_time()
    stored = [one.scores or () for one in cell.predictions[:few]]
    differ = max(float(np.abs(np.subtract(a.scores, b)).max()) for a, b in zip(answers, stored, strict=True))
    if differ > TOLERANCE:
        sys.exit(f"{cell.method} on {task.name}, k={cell.k}: the two sides differ by {differ}")
    return prepared - started + (answered - prepared) * len(episode.queries) / few, differ


def outcome(results: Path) -> Any:
    """Return results.json without times, names and the machine."""

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: without(one) for name, one in value.items() if name not in TIMES}
        return [without(one) for one in value] if isinstance(value, list) else value

    return without(json.loads(results.read_text(encoding="utf-8")))


def evaluation(folder: Path) -> EvaluateRun:
    """Return an evaluation of some seconds."""
    return EvaluateRun(
        output_dir=str(folder),
        suite=SuiteConfig(["embedded"], forms=["options"]),
        methods=["majority", "icl", "icl_contextual", "knn"],
        backbone=BackboneConfig("tiny-random", dtype="float32", device="cpu"),
        protocol=Protocol([2, 8], 2, 8),
        progress=False,
    )


def start(run: EvaluateRun) -> int:
    """Begin or continue an evaluation in a process of its own; its id."""
    return forked(lambda: evaluate_run(run, lambda text: None))


def resumes(kills: int, place: Path) -> int:
    """Return how many evaluations that were killed once ended like one that was not."""
    for name in ("accelerate", "transformers.models.llama.modeling_llama", "matplotlib.pyplot"):
        importlib.import_module(name)  # here once, not in each child
    straight, began = evaluation(place / "straight"), time.monotonic()
    if ended(start(straight)) != 0:
        sys.exit("the evaluation that is not killed failed")
    took, wanted, same = time.monotonic() - began, outcome(straight.folder / "results.json"), 0
    for number in range(kills):
        rng, hit, attempt = random.Random(f"kill {number}"), False, 0
        while not hit:
            attempt += 1
            run = evaluation(place / f"killed-{number}-{attempt}")
            hit = killed(start(run), rng.uniform(0.1, 1.0) * took)
        if ended(start(run)) != 0:
            sys.exit(f"evaluation {number} did not continue")
        same += outcome(run.folder / "results.json") == wanted
    return same


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--suite", default="embedded", help="a suite, or a folder of tasks")
    parser.add_argument("--tasks", type=int, default=1, help="the first held-out tasks")
    parser.add_argument("--few", type=int, default=1, help="queries of each cell that the other side answers")
    parser.add_argument("--k", type=int, nargs="+", default=[4, 16], help="numbers of demonstrations")
    parser.add_argument("--kills", type=int, default=10, help="0 leaves this part out")
    parser.add_argument("--rounds", type=int, default=1000, help="simulated comparisons for each coverage")
    parser.add_argument("--quick", action="store_true", help="a tiny model, one task, two kills")
    args = parser.parse_args()
    if args.quick:
        args.model, args.tasks, args.kills, args.rounds = "tiny-random", 1, 2, 60
    with tempfile.TemporaryDirectory() as place:
        same = resumes(args.kills, Path(place)) if args.kills else None
        suite, _ = SuiteConfig([args.suite], max_words=40, forms=["options"]).open()
        tasks = suite.split("meta_test")[: args.tasks]
        config, protocol = BackboneConfig(args.model, dtype="float32"), Protocol(args.k, 1, 16)
        found = compared(tasks, protocol, config, Path(place) / "ours")
    plain = {one.name: one.build() for one in contenders(Backbones(), replace(config, attn_implementation="plain"))}
    named = {task.name: task for task in tasks}
    cells = [(cell, alone(plain[cell.method], protocol, named[cell.task], cell, args.few)) for cell in found.cells]
    plain_seconds = sum(seconds for _, (seconds, _) in cells)
    coverage = [covered(DRAWS[kind], n, args.rounds, ours)[0] for kind in ("gains", "skewed") for n in (6, 10)]
    result = {
        "benchmark": "harness",
        "speedup_vs_cells": round(plain_seconds / found.seconds, 2),
        "overhead_pct": round(100 * found.overhead, 2),
        "resumes_identical": same,
        "kills": args.kills,
        "coverage_pct": min(coverage),
        "coverage": coverage,
        "max_score_diff": max(differ for _, (_, differ) in cells),
        "k": args.k,
        "cells": len(cells),
        "seconds": round(found.seconds, 2),
        "plain_seconds": round(plain_seconds, 2),
        "plain_seconds_by_cell": {f"{cell.method} k={cell.k} {cell.task}": round(s, 2) for cell, (s, _) in cells},
        "model": args.model,
        "resumed_model": "tiny-random",
        **{name: value for name, value in manifest().items() if name in ("machine", "versions")},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
