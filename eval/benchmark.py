"""`metaicl map`: every method on held-out tasks of each application that it serves, with equal budgets of training.

The map grows over many runs. A place of it is one (method, task, k); as soon as it is filled it is appended to
`map.jsonl` and never computed again, even where the trained weights are gone. Its key is a hash of the method's own
settings, the protocol, the task's content and, for a meta-trained method, that of the tasks it learns from. So methods
and held-out tasks may be added at any time; delete a line where our code that made it has changed. Places that are not
there yet are shown empty.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from eval.calibration import calibration
from eval.config import MapRun
from eval.evaluate import DONE, Backbones, contender, finished_training, train_once
from eval.fingerprints import hashed, model_print, source_prints, training_print, training_tasks
from eval.harness import Comparison, Contender
from eval.map_results import LEDGER, Ledger, MapResults, Place, RefusedPlace
from eval.metrics import score
from eval.quickstart.budget import within_budget
from eval.results import Cell, Refusal
from eval.statistics import Interval, generator
from eval.tune import RECIPE, TRAINER, trainer_settings
from metaicl.methods import METHODS, method_class
from metaicl.training.checkpoint import MethodConfig
from metaicl.training.config import TrainRun
from metaicl.training.folders import one_process
from metaicl.training.run import check_base_model, duration, machine, manifest, write_config
from task_suites.core.atomic import write_text
from task_suites.core.errors import UserError, counted, nearest
from task_suites.core.flat import flat
from task_suites.core.json_files import read_json
from task_suites.core.yaml_files import read_yaml
from task_suites.formats.prompt_format import PromptFormat
from task_suites.provenance import data_record, prompt_fingerprint
from task_suites.task import Task, TaskSuite

RESAMPLES = 300
Asked = tuple[str, int]  # task, k


@one_process
def map_run(run: MapRun, say: Callable[[str], None] = print) -> MapResults:
    """Do what is missing of the map, as far as `max_minutes` allows, and write map.json, the page and the pictures."""
    from eval.report.map import write_map

    started = time.monotonic()
    names = run.methods or list(METHODS)
    for name in names:
        method_class(name)  # an unknown name is an error before any work
    suite, note = run.suite.open()
    tasks = {name: _held_out_task(suite, a, name) for a, names in run.applications.items() for name in names}
    check_base_model(run.backbone.model, data_record(tasks.values()))
    folder = run.folder
    write_config(folder / "config.yaml", flat(run))
    ledger = Ledger(folder / LEDGER)
    if note:
        say(note)
    prints = {t: prompt_fingerprint(task) for t, task in tasks.items()}
    learned = hashed(training_tasks(suite))
    places = [(t, k) for t in tasks for k in run.protocol.k]
    recipes = {name: _recipe(run, name) for name in names}
    keys = {(n, t, k): place_key(run, n, recipes[n], prints[t], k, learned) for n in names for t, k in places}
    backbones = Backbones()
    for name in sorted(names, key=lambda n: (method_class(n).meta_trained, names.index(n))):
        missing = [place for place in places if keys[(name, *place)] not in ledger.places]
        if not missing:
            continue
        late = bool(run.max_minutes) and time.monotonic() - started > 60 * run.max_minutes
        if late:
            say(f"{name}: {counted(len(missing), 'place')} left empty")
            continue
        say(f"{name}: {counted(len(missing), 'place')}")
        try:
            made = _contender(run, name, recipes[name], suite, backbones, folder, say)
            for one in filled(run, made, {t: tasks[t] for t, _ in missing}, missing, folder):
                ledger.append(replace(one, key=keys[name, one.task, one.k], machine=machine()))
        except UserError as error:  # an inner loop that diverges, say: the other methods continue
            say(f"{name}: {counted(len(missing), 'place')} left empty: {error}")
    found = [ledger.places[key] for key in keys.values() if key in ledger.places]
    if not found:
        raise UserError("the map has no cell yet", fix="Raise max_minutes.")
    results = MapResults(
        name=run.run_name or folder.name,
        created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        command="metaicl " + shlex.join(sys.argv[1:]),
        manifest={**manifest(), "suite": suite.name, "backbone": asdict(run.backbone)},
        protocol=asdict(run.protocol),
        applications=run.applications,
        budget_seconds=run.budget_seconds,
        methods=names,
        cells=tuple(found),
        filtered=note,
    )
    write_text(folder / "map.json", json.dumps(results.to_json(), ensure_ascii=False, indent=1) + "\n")
    say(f"Map: {write_map(folder)}   ({duration(time.monotonic() - started)})")
    return results


def place_key(run: MapRun, name: str, recipe: dict[str, Any], task_print: str, k: int, learned: str) -> str:
    """Return a hash of what a place of the map depends on. A recipe that states the defaults counts as none.

    Args:
        task_print: the fingerprint of the task's prompts.
        learned: that of the tasks that methods are meta-trained on.
    """
    cls = method_class(name)
    options = cls.configured(recipe.get("method_options", {})).to_dict()
    protocol = asdict(replace(run.protocol, k=[k])) | {"headline": k == max(run.protocol.k)}
    backbone = cls.backbone_config(run.backbone, shared=True)
    parts: list[Any] = [name, options, asdict(backbone), *model_print(backbone), protocol, task_print]
    parts += source_prints(name)
    if cls.meta_trained:
        parts += [
            learned,
            asdict(replace(run.trainer, **trainer_settings(recipe)).resolved()),
            run.budget_seconds,
        ]
    return hashed(parts)[:24]


def filled(
    run: MapRun, made: Contender, tasks: Mapping[str, Task], missing: Sequence[Asked], folder: Path
) -> list[Place | RefusedPlace]:
    """The missing places of a method: its cells are run (they are kept one by one in the folder's cells.jsonl)."""
    comparison = Comparison(list(tasks.values()), run.protocol, folder)
    comparison.run(made)
    finished = comparison.finished(made)
    done = folder / made.name / DONE
    steps = read_json(done)["steps"] if made.trained else None
    places = [summary(made, t, k, [c for c in finished if (c.task, c.k) == (t, k)]) for t, k in missing]
    return [replace(one, steps=steps) for one in places]


def summary(made: Contender, task: str, k: int, cells: Sequence[Cell | Refusal]) -> Place | RefusedPlace:
    """A place's numbers: score and interval in points, seconds of adapting and of one query (means over support sets),
    calibration where its answers have scores, the support sets that were refused and why; or, where all were, why."""
    refused = [cell for cell in cells if isinstance(cell, Refusal)]
    scored = [cell for cell in cells if isinstance(cell, Cell)]
    if not scored:
        return RefusedPlace(made.name, task, k, refused[0].reason)
    found = query_interval(scored)
    trusted = calibration(one for cell in scored for one in cell.predictions)
    return Place(
        made.name,
        task,
        k,
        score=round(found.mean, 2),
        low=round(found.low, 2),
        high=round(found.high, 2),
        seeds=len(scored),
        refused_seeds={str(refusal.seed): refusal.reason for refusal in refused} or None,
        queries=sum(cell.n for cell in scored),
        adapt_seconds=round(fmean([cell.adapt_seconds for cell in scored]), 4),
        query_seconds=round(fmean([cell.query_seconds / cell.n for cell in scored]), 5),
        ece=round(trusted.ece, 4) if trusted else None,
        brier=round(trusted.brier, 4) if trusted else None,
        train_seconds=None if made.train_seconds is None else round(made.train_seconds, 1),
    )


def _held_out_task(suite: TaskSuite, application: str, name: str) -> Task:
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
    recipe: dict[str, Any],
    suite: TaskSuite,
    backbones: Backbones,
    folder: Path,
    say: Callable[[str], None],
) -> Contender:
    """The method ready to be compared, meta-trained now where it has to be and is not."""
    cls = method_class(name)
    options = recipe.get("method_options", {})
    if not cls.meta_trained:
        return contender(name, run.backbone, PromptFormat(), backbones, options)
    trainer = replace(run.trainer, **trainer_settings(recipe))
    backbone = cls.backbone_config(run.backbone, shared=True)
    place = str(folder / name)
    training = TrainRun(name, place, run.suite, name, options, backbone, trainer=trainer, progress=run.progress)
    print_ = training_print(training, suite, run.budget_seconds)
    shared = backbones(backbone) if cls.weights == "frozen" else None  # and the embeddings that it keeps
    if done := finished_training(training, print_, shared):
        return done
    plan, config = folder / "plans" / f"{name}.json", MethodConfig(name, options, backbone, PromptFormat())
    trainer = within_budget(plan, print_, run.budget_seconds, lambda: config.build(shared), suite, trainer)
    return train_once(replace(training, trainer=trainer), print_, suite, say, shared)


def _recipe(run: MapRun, name: str) -> dict[str, Any]:
    """The tuned settings of a method, where the folder of recipes has them."""
    path = Path(run.recipes) / name / RECIPE
    if not run.recipes or not path.is_file():
        return {}
    recipe = read_yaml(path)
    if not isinstance(recipe, dict) or not set(recipe) <= {"method", "method_options", *TRAINER}:
        raise UserError(
            "no recipe", where=path, expected="method, method_options and options of training (`metaicl tune`)"
        )
    if recipe.get("method") != name:
        raise UserError("the recipe is another method's", where=path, found=recipe.get("method"), expected=name)
    return recipe


def query_interval(cells: Sequence[Cell]) -> Interval:
    """The mean score of one task's cells in points with a 95 % bootstrap interval.

    Support sets are drawn with replacement, then queries inside each, and the metric is computed again: 300 resamples,
    seeded by the cells' keys.
    """
    rng = generator("/".join(sorted(cell.key for cell in cells)))
    answers = [([p.answer for p in cell.predictions], [p.truth for p in cell.predictions]) for cell in cells]
    means = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(len(cells), size=len(cells))
        values = []
        for i in drawn:
            given, truth = answers[i]
            picks = rng.integers(len(given), size=len(given))
            values.append(score(cells[i].metric, [given[j] for j in picks], [truth[j] for j in picks]))
        means.append(100 * fmean(values))
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(100 * fmean([cell.score for cell in cells]), float(low), float(high))
