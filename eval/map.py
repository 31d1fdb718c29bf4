"""`metaicl map`: every method that serves an application, on one task of each, with equal budgets of meta-training.

The map grows over many runs: a training that is finished is kept, a finished cell is never done again, and a cell that
is not there yet is shown empty. What a method has already learned and answered depends on its own settings alone, so
methods may be added at any time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from eval.compare import Backbones, contender, finished_training, train_once, training_print
from eval.config import MapRun
from eval.harness import Comparison, Contender
from eval.metrics import score
from eval.statistics import Interval, generator
from metaicl.checkpoint import MethodConfig, write_text
from metaicl.config import TrainerConfig, TrainRun
from metaicl.methods import METHODS, method_spec
from metaicl.methods.base import Method
from metaicl.runs import duration, write_config
from metaicl.trainer import training_episodes
from task_suites.errors import UserError, nearest
from task_suites.formats import PromptFormat
from task_suites.sources.files import read_yaml
from task_suites.task import TaskSuite

RESAMPLES = 300


def map_run(run: MapRun, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Do what is missing of the map, as far as `max_minutes` allows, and write results.json, map.html and map.md."""
    from eval.map_report import write_map

    started = time.monotonic()
    names = run.methods or list(METHODS)
    for name in names:
        method_spec(name)  # an unknown name is an error before any work
    suite, note = run.suite.open()
    tasks = [_application_task(suite, application, name) for application, name in run.applications.items()]
    folder = Path(run.output) / run.name
    comparison = Comparison(tasks, run.protocol, folder)
    write_config(folder / "config.yaml", asdict(run))
    if note:
        say(note)
    backbones = Backbones()
    contenders = []
    for name in sorted(names, key=lambda n: (method_spec(n).trained, names.index(n))):
        late = run.max_minutes and time.monotonic() - started > 60 * run.max_minutes
        made = _contender(run, name, suite, backbones, folder, say, train=not late)
        if made is None:
            say(f"{name}: not trained yet")
            continue
        left = len(comparison.unfinished(made))
        if left and not late:
            say(f"{name}: {left} cells")
            comparison.run(made)
        contenders.append(made)
    if not any(comparison.finished(c) for c in contenders):
        raise UserError("the map has no cell yet", fix="Raise max_minutes.")
    results = comparison.results(
        [c for c in contenders if comparison.finished(c)],
        name=run.name,
        command=f"metaicl map --name {run.name}",
        seconds=time.monotonic() - started,
        manifest={"suite": suite.name, "backbone": asdict(run.backbone)},
        filtered=note,
        comparison={"method": "metaicl", "baseline": "icl"},
        notes=[],
        map={
            "applications": run.applications,
            "budget_seconds": run.budget_seconds,
            "methods": names,
            "cells": summaries(comparison, contenders, run.applications),
        },
    )
    write_text(folder / "results.json", json.dumps(results, ensure_ascii=False, indent=1) + "\n")
    say(f"Map: {write_map(folder)}   ({duration(time.monotonic() - started)})")
    return results


def _application_task(suite: TaskSuite, application: str, name: str) -> Any:
    """The task, which must be in the meta-test split."""
    held_out = [task.name for task in suite.split("meta_test")]
    if name not in held_out:
        raise UserError(
            f"applications: {application} wants a task of the meta-test split", found=name, fix=nearest(name, held_out)
        )
    return suite[name]


def _contender(
    run: MapRun,
    name: str,
    suite: TaskSuite,
    backbones: Backbones,
    folder: Path,
    say: Callable[[str], None],
    train: bool,
) -> Contender | None:
    """The method ready to be compared; None where its training is not finished and may not begin now."""
    spec, recipe = method_spec(name), _recipe(run, name)
    options = recipe.get("method_options", {})
    if not spec.trained:
        return contender(name, run.backbone, PromptFormat(), backbones, options)
    trainer = replace(run.trainer, **recipe.get("trainer", {}))
    backbone = spec.backbone_config(run.backbone)
    training = TrainRun(
        name, str(folder), run.suite, name, options, backbone, trainer=trainer, progress=run.progress, resume=True
    )
    print_ = training_print(training, run.budget_seconds)
    if (done := finished_training(training, print_)) or not train:
        return done
    plan = training.folder / "plan.json"
    planned = json.loads(plan.read_text()) if plan.is_file() else {}
    if planned.get("config") != print_:
        steps = steps_within(
            run.budget_seconds, MethodConfig(name, options, backbone, PromptFormat()).build(), suite, trainer
        )
        planned = {"config": print_, "steps": steps}
        plan.parent.mkdir(parents=True, exist_ok=True)
        write_text(plan, json.dumps(planned) + "\n")
    trainer = replace(trainer, steps=planned["steps"], warmup_steps=min(trainer.warmup_steps, planned["steps"] // 4))
    return train_once(replace(training, trainer=trainer), print_, suite, say)


def steps_within(seconds: float, method: Method, suite: TaskSuite, trainer: TrainerConfig) -> int:
    """How many steps a budget allows on this machine: from the time of forward and backward passes over four training
    episodes (one before them warms up), for the mean size of the first 64."""
    tasks = [task for task in suite.split("meta_train") if method.refusal(task) is None]
    if not tasks:
        raise UserError(f"no meta-training task that {type(method).__name__} serves")
    episodes = [e for step in range(64) for e in training_episodes(tasks, trainer, step)]
    sizes = [method.tokens(e) for e in episodes]
    spent = 0.0
    for i in range(5):
        started = time.monotonic()
        loss, _ = method(episodes[i : i + 1])
        loss.backward()
        spent += time.monotonic() - started if i else 0.0
    method.zero_grad()
    per_episode = spent / sum(sizes[1:5]) * sum(sizes) / len(sizes)
    return max(1, int(seconds / per_episode / trainer.episodes_per_step))


def _recipe(run: MapRun, name: str) -> dict[str, Any]:
    """The tuned settings of a method, where the folder of recipes has them."""
    path = Path(run.recipes) / f"{name}.yaml"
    if not run.recipes or not path.is_file():
        return {}
    recipe = read_yaml(path)
    if not isinstance(recipe, dict) or not set(recipe) <= {"method", "method_options", "trainer"}:
        raise UserError("no recipe", where=path, expected="method, method_options and trainer (`metaicl tune`)")
    if recipe.get("method") != name:
        raise UserError("the recipe is another method's", where=path, found=recipe.get("method"), expected=name)
    return recipe


def summaries(
    comparison: Comparison, contenders: Sequence[Contender], applications: Mapping[str, str]
) -> list[dict[str, Any]]:
    """One entry for each (method, application, k) with finished cells: score and interval in points, seconds of
    adapting and of one query (means over support sets)."""
    of = {task: application for application, task in applications.items()}
    entries = []
    for c in contenders:
        groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
        for cell in comparison.finished(c):
            if "refused" not in cell:
                groups.setdefault((cell["task"], cell["k"]), []).append(cell)
        for (task, k), cells in groups.items():
            found = query_interval(cells)
            entries.append(
                {
                    "method": c.name,
                    "application": of[task],
                    "k": k,
                    "seeds": len(cells),
                    "queries": sum(cell["n"] for cell in cells),
                    "score": found.mean,
                    "low": found.low,
                    "high": found.high,
                    "adapt_seconds": fmean([cell["adapt_seconds"] for cell in cells]),
                    "query_seconds": fmean([(x["seconds"] - x["adapt_seconds"]) / x["n"] for x in cells]),
                }
            )
    return entries


def query_interval(cells: Sequence[Mapping[str, Any]]) -> Interval:
    """The mean score of one task's cells in points with a 95 % bootstrap interval.

    Support sets are drawn with replacement, then queries inside each, and the metric is computed anew: 300 resamples,
    seeded by the cells' keys.
    """
    rng = generator("/".join(sorted(str(cell["key"]) for cell in cells)))
    answers = [([a["answer"] for a in cell["answers"]], [a["truth"] for a in cell["answers"]]) for cell in cells]
    means = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(len(cells), size=len(cells))
        values = []
        for i in drawn:
            given, truth = answers[i]
            picks = rng.integers(len(given), size=len(given))
            values.append(score(cells[i]["metric"], [given[j] for j in picks], [truth[j] for j in picks]))
        means.append(100 * fmean(values))
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(100 * fmean([cell["score"] for cell in cells]), float(low), float(high))


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """The points (cost, score) that none other beats in both, cheapest first."""
    order = sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1]))
    front: list[int] = []
    for i in order:
        if not front or points[i][1] > points[front[-1]][1]:
            front.append(i)
    return front
