"""`metaicl quickstart`: from nothing to a comparison on unseen tasks, each finished step kept for the next start."""

from __future__ import annotations

import json
import math
import re
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from eval.compare import DONE, Backbones, contender, finish, finished_training, run_all, train_once, training_print
from eval.config import Protocol, QuickstartRun
from eval.harness import Comparison, Contender, protocol_episode
from eval.report import table
from eval.statistics import gain_interval
from metaicl import models
from metaicl.config import TrainerConfig, TrainRun
from metaicl.methods import method_spec
from metaicl.methods.in_context import InContext
from metaicl.runs import duration, plain, write_config
from metaicl.trainer import training_episodes
from task_suites.formats import PromptFormat
from task_suites.sources import SuiteConfig
from task_suites.task import Task, TaskSuite
from task_suites.writing import write_text

UNTRAINED = ("random", "majority", "zero_shot", "icl", "finetune")
TRAINED = ("protonet", "metaicl")
FULL = ("protonet", "multitask", "fomaml", "fomaml_icl", "metaicl_channel", "metaicl")
# rough costs in forward passes, for the estimate of time: of a training token, and of a cell's tokens
LEARNING = {"protonet": 0.5, "fomaml": 7.0, "fomaml_icl": 7.0}
ADAPTING = {"finetune": 25.0, "fomaml": 35.0, "fomaml_icl": 5.0, "metaicl": 2.4}  # it asks its demonstrations too


def quickstart(run: QuickstartRun) -> dict[str, Any]:
    """Run the story; the last line printed is JSON where `run.json` asks for it. The summary is returned."""
    if run.backbone.name in models.MODELS:
        models.pull(run.backbone.name, say=print)
    started = time.monotonic()  # what the estimate below is of
    suite_config = SuiteConfig(run.suite, run.max_words, forms=["options"])
    suite, note = suite_config.open()
    tasks = suite.split("meta_test")
    if 0 < run.tasks < len(tasks):
        tasks = [tasks[i * len(tasks) // run.tasks] for i in range(run.tasks)]
    folder = Path(run.output) / (run.name or f"quickstart-{re.sub('[^a-z0-9]+', '-', suite.name.lower())}")
    protocol = Protocol(sorted({max(1, run.k // 4), run.k}), run.seeds, run.queries, stratified=True, curve_seeds=1)
    comparison = Comparison(tasks, protocol, folder)
    write_config(folder / "config.yaml", asdict(run))
    _introduce(run, suite, tasks, note)

    backbones = Backbones()
    trainings = [training(run, name, suite_config, folder) for name in (FULL if run.full else TRAINED)]
    untrained = [_untrained(run, name, backbones) for name in UNTRAINED]
    _say_time(run, comparison, untrained, trainings, suite, backbones)

    run_all(comparison, untrained, run.progress)
    trained = [_train(t, suite, backbones) for t in trainings]
    run_all(comparison, trained, run.progress)

    contenders = [*untrained, *trained]
    write_text(folder / "metrics.jsonl", (folder / "metaicl" / "metrics.jsonl").read_text())  # the report's curve
    results = finish(
        comparison,
        contenders,
        PromptFormat(),
        name=folder.name,
        command="metaicl " + shlex.join(sys.argv[1:] or ["quickstart"]),
        seconds=time.monotonic() - started,
        manifest={"suite": suite.name, "backbone": asdict(run.backbone), "training": plain(asdict(trainings[-1]))},
        filtered=note,
        comparison={"method": "metaicl", "baseline": "icl"},
        notes=_notes(run, suite),
    )
    return _conclude(run, results, folder, time.monotonic() - started)


def _conclude(run: QuickstartRun, results: dict[str, Any], folder: Path, seconds: float) -> dict[str, Any]:
    gain = gain_interval(_cells(results, "metaicl"), _cells(results, "icl"))
    print()
    print(table(results))
    print()
    print(
        f"MetaICL minus raw ICL on {len(results['tasks'])} unseen tasks: "
        f"{gain.mean:+.1f} points [{gain.low:.1f}, {gain.high:.1f}]"
    )
    print(f"Report: {folder / 'report.html'}   ({duration(seconds)} in all)")
    summary = {
        "gain_points": round(gain.mean, 2),
        "gain_ci_low": _rounded(gain.low),
        "gain_ci_high": _rounded(gain.high),
        "seconds": round(seconds, 1),
        "methods": [m["name"] for m in results["methods"]],
        "tasks": len(results["tasks"]),
    }
    if run.json:
        print(json.dumps(summary))
    return summary


def _rounded(value: float) -> float | None:
    """Two decimals; None where one task and one support set allow no interval."""
    return None if math.isnan(value) else round(value, 2)


def _cells(results: dict[str, Any], method: str) -> list[dict[str, Any]]:
    return [c for c in results["cells"] if c["method"] == method and c["k"] == results["headline_k"]]


def _introduce(run: QuickstartRun, suite: TaskSuite, tasks: Sequence[Task], note: str | None) -> None:
    print(f"{run.backbone.name} on the suite {suite.name}: meta-training on {len(suite.split('meta_train'))} tasks,")
    print(f"then {run.k} demonstrations of each of {len(tasks)} other tasks, {run.seeds} support sets a task.")
    if note:
        print(note)


def _notes(run: QuickstartRun, suite: TaskSuite) -> list[str]:
    notes = [
        "Held out means held out of this meta-training; what the base model was trained on is not known.",
        "Intervals are 95 %, bootstrap clustered by task and seed.",
    ]
    if run.finetune_cells:
        notes.append(
            f"Fine-tuning ran on {run.finetune_cells} (task, support set) pairs and is compared on those alone."
        )
    return notes


def _untrained(run: QuickstartRun, name: str, backbones: Backbones) -> Contender:
    cells = run.finetune_cells if name == "finetune" and not run.full else 0
    curve = name not in ("zero_shot", "finetune")  # the one does not read them, the other takes long
    return contender(name, run.backbone, PromptFormat(), backbones, cells=cells, curve=curve)


def training(run: QuickstartRun, name: str, suite_config: SuiteConfig, folder: Path) -> TrainRun:
    """The training of one method."""
    backbone = method_spec(name).backbone_config(run.backbone, shared=True)
    trainer = TrainerConfig(steps=run.steps, k=run.k, queries=8, log_every=5)
    if name == "protonet":  # it learns one linear map, which does not take long
        trainer = replace(trainer, steps=max(1, run.steps // 8), queries=16, arbitrary_labels=0.0)
    return TrainRun(name, str(folder), suite_config, name, backbone=backbone, trainer=trainer, progress=run.progress)


def _train(run: TrainRun, suite: TaskSuite, backbones: Backbones) -> Contender:
    """The trained contender; a training that is finished under the same configuration is not repeated."""
    print_ = training_print(run)
    frozen = method_spec(run.method).weights == "frozen"
    shared = backbones(run.backbone) if frozen else None  # and the embeddings that it keeps
    return finished_training(run, print_, shared) or train_once(run, print_, suite, backbone=shared)


def _say_time(
    run: QuickstartRun,
    comparison: Comparison,
    untrained: Sequence[Contender],
    trainings: Sequence[TrainRun],
    suite: TaskSuite,
    backbones: Backbones,
) -> None:
    """Print what the whole will take: its tokens, weighed by what is done with them, at this machine's speed."""
    base = backbones(replace(run.backbone, weights="frozen"))
    method = InContext(base, PromptFormat())
    episodes = [protocol_episode(comparison.protocol, task, 0, run.k) for task in comparison.tasks]
    cell = sum(map(method.tokens, episodes)) / len(episodes)
    for _ in range(2):  # the first pass warms up
        before, started = base.tokens_run, time.monotonic()
        predictor = method.adapt(episodes[0].task, episodes[0].support)
        predictor.scores([q.hidden() for q in episodes[0].queries])
        speed = (base.tokens_run - before) / (time.monotonic() - started)
    passes = sum(
        cell * len(comparison.unfinished(c)) * ADAPTING.get(c.name, 1.0)
        for c in untrained
        if c.name not in ("random", "majority")
    )
    tasks = suite.split("meta_train")
    first = [e for step in range(16) for e in training_episodes(tasks, trainings[-1].trainer, step)]
    step_tokens = fmean([method.tokens(e) for e in first])
    for t in trainings:
        if not (t.folder / DONE).is_file():
            passes += t.trainer.resolved().steps * step_tokens * LEARNING.get(t.method, 2.2)
            passes += cell * len(comparison.tasks) * run.seeds * ADAPTING.get(t.method, 1.3)
    print(f"This takes about {duration(passes / speed)} on this machine; finished steps are kept.")
