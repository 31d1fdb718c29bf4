"""`metaicl benchmark`: every method on held-out tasks of each application that it serves, with equal training budgets.

The benchmark grows over many runs. An entry is one method on one task at one k. As soon as it is known, it is appended
to `benchmark.jsonl`; it is never computed again, even where the trained weights are gone. Its key is a hash of the
method's own settings, the protocol, the task's content and, for a meta-trained method, the content of the tasks that it
learns from. So methods and held-out tasks may be added at any time. Delete a line whose method has changed in this
program itself. Entries that are not known yet are shown empty.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from eval.benchmark_results import ENTRIES, RESULTS, BenchmarkResults, Entry, RefusedEntry, entry_store
from eval.budget import within_budget
from eval.calibration import calibration
from eval.cells import Cell, Refusal
from eval.config import BenchmarkRun
from eval.contenders import DONE, Backbones, Contender, contender, finished_training, train_once
from eval.fingerprints import hashed, model_print, source_prints, training_print, training_tasks
from eval.harness import Comparison
from eval.hyperparameters import FILE, Hyperparameters
from eval.method_on_model import MethodOnModel
from eval.metrics import score
from eval.statistics import Interval, generator, mean_interval
from eval.store import Store
from metaicl.methods import METHODS, method_class
from metaicl.training.checkpoint import MethodConfig
from metaicl.training.config import TrainRun
from metaicl.training.folders import one_process
from metaicl.training.run import check_base_model, duration, machine, manifest, write_config
from task_suites.core.atomic import write_text
from task_suites.core.errors import UserError, counted, nearest
from task_suites.core.flat import flat
from task_suites.core.json_files import read_json
from task_suites.formats.prompt_format import PromptFormat
from task_suites.provenance import data_record, prompt_fingerprint
from task_suites.task import Task, TaskSuite

RESAMPLES = 300
Say = Callable[[str], None]


@one_process
def benchmark_run(run: BenchmarkRun, say: Say = print) -> BenchmarkResults:
    """Compute the missing entries, as far as `max_minutes` allows; write `benchmark.json`, the page and the pictures.

    Raises:
        UserError: no application, an unknown method or task, or no entry is known at the end.
    """
    from eval.report.benchmark import write_benchmark

    started = time.monotonic()
    names = run.methods or list(METHODS)
    trained = {name: MethodOnModel.of(name).cls.meta_trained for name in names}  # an unknown name is an error now
    if not run.applications:
        fix = "Name meta-test tasks by application, as configs/benchmark.yaml does."
        raise UserError("applications is empty, so there is no task to answer", fix=fix)
    suite, note = run.suite.open()
    tasks = {name: _held_out_task(suite, a, name) for a, names in run.applications.items() for name in names}
    for model in {run.backbone.model, *(one.model for one in map(MethodOnModel.of, names) if one.model)}:
        check_base_model(model, data_record(tasks.values()))
    write_config(run.folder / "config.yaml", flat(run))
    benchmark = Benchmark(run, suite, tasks, {n: _hyperparameters(run, n) for n in names}, Backbones(), say)
    if note:
        say(note)
    for name in sorted(names, key=trained.__getitem__):
        late = bool(run.max_minutes) and time.monotonic() - started > 60 * run.max_minutes
        benchmark.fill(name, late)
    results = benchmark.results(names, note)
    write_text(run.folder / RESULTS, json.dumps(results.to_json(), ensure_ascii=False, indent=1) + "\n")
    say(f"Benchmark: {write_benchmark(run.folder)}   ({duration(time.monotonic() - started)})")
    return results


@dataclass(frozen=True)
class Benchmark:
    """A benchmark that is being filled.

    Attributes:
        run: its configuration.
        suite: the tasks that methods are meta-trained on.
        tasks: the held-out tasks of all applications, by name.
        chosen: the hyperparameters of each method, by its name.
        backbones: the models that are loaded.
        say: takes a line for the user.
    """

    run: BenchmarkRun
    suite: TaskSuite
    tasks: Mapping[str, Task]
    chosen: Mapping[str, Hyperparameters]
    backbones: Backbones
    say: Say

    @cached_property
    def store(self) -> Store[Entry | RefusedEntry]:
        """The entries that are known."""
        return entry_store(self.run.folder / ENTRIES)

    @cached_property
    def keys(self) -> dict[tuple[str, str, int], str]:
        """The key of each (method, task, k)."""
        prints = {name: prompt_fingerprint(task) for name, task in self.tasks.items()}
        learned = hashed(training_tasks(self.suite))
        return {
            (method, task, k): entry_key(self.run, method, chosen, prints[task], k, learned)
            for method, chosen in self.chosen.items()
            for task in self.tasks
            for k in self.run.protocol.k
        }

    def fill(self, name: str, late: bool) -> None:
        """Compute the missing entries of a method, or report that they stay empty: because it is `late`, or because the
        method fails (its inner loop diverges, for example)."""
        missing = [(task, k) for (n, task, k), key in self.keys.items() if n == name and key not in self.store]
        if not missing:
            return
        many = counted(len(missing), "score")
        if late:
            self.say(f"{name}: {many} left empty")
            return
        self.say(f"{name}: {many} missing")
        try:
            for entry in self._entries(name, missing):
                self.store.add(replace(entry, key=self.keys[name, entry.task, entry.k], machine=machine()))
        except UserError as error:
            self.say(f"{name}: {many} left empty: {error}")

    def _entries(self, name: str, missing: Sequence[tuple[str, int]]) -> list[Entry | RefusedEntry]:
        """Run the cells of some entries, each of which is stored in the folder's `cells.jsonl`, and sum them up."""
        tasks = [self.tasks[name] for name in dict.fromkeys(task for task, _ in missing)]
        comparison = Comparison(tasks, self.run.protocol, self.run.folder)
        finished: list[Cell | Refusal] = []
        trainings = self._trainings(name)
        for made in self._contenders(name, trainings):
            comparison.run(made)
            finished += [replace(c, run=made.name) if isinstance(c, Cell) else c for c in comparison.finished(made)]
        done = [read_json(training.folder / DONE) for training in trainings]
        return [summary(name, t, k, [c for c in finished if (c.task, c.k) == (t, k)], done) for t, k in missing]

    def _trainings(self, name: str) -> list[TrainRun]:
        """Return the method's trainings, whose steps are not known yet; none where it is not meta-trained."""
        run, one, chosen = self.run, MethodOnModel.of(name), self.chosen[name]
        backbone, trainer = one.backbone(run.backbone, run.encoder), chosen.trainer(run.trainer)
        if not one.cls.meta_trained:
            return []
        names = [one.name, *(f"{one.name}-{number}" for number in range(2, run.trainings + 1))]
        return [
            TrainRun(
                each,
                str(run.folder / each),
                run.suite,
                one.method,
                dict(chosen.options),
                backbone,
                trainer=replace(trainer, seed=trainer.seed + i),
                progress=run.progress,
            )
            for i, each in enumerate(names)
        ]

    def _contenders(self, name: str, trainings: Sequence[TrainRun]) -> Iterator[Contender]:
        """Yield the method ready to be compared, once for each of its trainings. It is meta-trained now if it has to be
        and is not. All trainings have the steps that the first one has time for."""
        run = self.run
        if not trainings:
            options = dict(self.chosen[name].options)
            yield contender(name, run.backbone, PromptFormat(), self.backbones, options, encoder=run.encoder)
            return
        first = trainings[0]
        frozen = method_class(first.method).weights == "frozen"
        shared = self.backbones(first.backbone) if frozen else None  # and the embeddings that it caches
        for training in trainings:
            print_ = training_print(training, self.suite, run.budget_seconds)
            if done := finished_training(training, print_, shared):
                yield done
                continue
            trainer = within_budget(
                run.folder / "plans" / f"{first.run_name}.json",
                training_print(first, self.suite, run.budget_seconds),
                run.budget_seconds,
                lambda: MethodConfig(first.method, first.method_options, first.backbone, PromptFormat()).build(shared),
                self.suite,
                training.trainer,
            )
            yield train_once(replace(training, trainer=trainer), print_, self.suite, self.say, shared)

    def results(self, names: Sequence[str], note: str | None) -> BenchmarkResults:
        """Return all entries that are known.

        Raises:
            UserError: there is none.
        """
        found = [self.store[key] for key in self.keys.values() if key in self.store]
        if not found:
            raise UserError("no time was left for a single entry", fix="Raise max_minutes.")
        run = self.run
        return BenchmarkResults(
            name=run.run_name or run.folder.name,
            created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            command="metaicl " + shlex.join(sys.argv[1:]),
            manifest={**manifest(), "suite": self.suite.name, "backbone": asdict(run.backbone)},
            protocol=asdict(run.protocol),
            applications=run.applications,
            budget_seconds=run.budget_seconds,
            methods=names,
            entries=tuple(found),
            filtered=note,
            trainings=run.trainings,
        )


def entry_key(run: BenchmarkRun, name: str, chosen: Hyperparameters, task_print: str, k: int, learned: str) -> str:
    """Return a hash of what an entry depends on. Hyperparameters equal to the defaults do not change it.

    Args:
        task_print: the fingerprint of the task's prompts.
        learned: the fingerprint of the tasks that methods are meta-trained on.
    """
    one = MethodOnModel.of(name)
    options = one.cls.configured(chosen.options).to_dict()
    protocol = asdict(replace(run.protocol, k=[k])) | {"headline": k == max(run.protocol.k)}
    backbone = one.backbone(run.backbone, run.encoder)
    parts: list[Any] = [name, options, asdict(backbone), *model_print(backbone), protocol, task_print]
    parts += source_prints(one.method)
    if one.cls.meta_trained:
        parts += [learned, asdict(chosen.trainer(run.trainer).resolved()), run.budget_seconds]
        parts += [run.trainings] if run.trainings > 1 else []
    return hashed(parts)[:24]


def summary(
    method: str, task: str, k: int, cells: Sequence[Cell | Refusal], trainings: Sequence[Mapping[str, Any]] = ()
) -> Entry | RefusedEntry:
    """Return an entry of the benchmark, made from its cells; a refused one where every cell was refused.

    Args:
        trainings: what each training left in `finished.json`.
    """
    refused = [cell for cell in cells if isinstance(cell, Refusal)]
    scored = [cell for cell in cells if isinstance(cell, Cell)]
    steps = trainings[0]["steps"] if trainings else None
    if not scored:
        return RefusedEntry(method, task, k, refused[0].reason, steps=steps)
    found = query_interval(scored)
    trusted = calibration(one for cell in scored for one in cell.predictions)
    points: dict[str | None, dict[str, float]] = {}
    for cell in scored:
        points.setdefault(cell.run, {})[str(cell.seed)] = round(100 * cell.score, 4)
    return Entry(
        method,
        task,
        k,
        score=round(found.mean, 2),
        low=round(found.low, 2),
        high=round(found.high, 2),
        seeds=len({cell.seed for cell in scored}),
        refused_seeds={str(refusal.seed): refusal.reason for refusal in refused} or None,
        queries=sum(cell.n for cell in scored),
        adapt_seconds=round(fmean([cell.adapt_seconds for cell in scored]), 4),
        query_seconds=round(fmean([cell.query_seconds / cell.n for cell in scored]), 5),
        ece=round(trusted.ece, 4) if trusted else None,
        brier=round(trusted.brier, 4) if trusted else None,
        train_seconds=round(fmean(one["seconds"] for one in trainings), 1) if trainings else None,
        steps=steps,
        points=list(points.values()),
    )


def _held_out_task(suite: TaskSuite, application: str, name: str) -> Task:
    """Return the task of this name, which must be in the meta-test split."""
    held_out = [task.name for task in suite.split("meta_test")]
    if name not in held_out:
        raise UserError(
            f"applications: {application} needs a task of the meta-test split", found=name, fix=nearest(name, held_out)
        )
    return suite[name]


def _hyperparameters(run: BenchmarkRun, name: str) -> Hyperparameters:
    """Return the tuned hyperparameters of a method; none where the folder of studies lacks them."""
    path = Path(run.hyperparameters) / name / FILE
    return Hyperparameters.read(path, name) if run.hyperparameters and path.is_file() else Hyperparameters()


def query_interval(cells: Sequence[Cell]) -> Interval:
    """Return the mean score of one task's cells, in points, with its 95 % interval over support sets.

    With one support set it is the percentile bootstrap interval over its queries: they are drawn with replacement, 300
    times, seeded by the cell's key, and the metric is computed again. Other support sets are not in it.
    """
    if len(cells) > 1:
        return mean_interval(cells)
    (cell,) = cells
    rng = generator(cell.key)
    given, truth = [p.answer for p in cell.predictions], [p.truth for p in cell.predictions]
    values = []
    for _ in range(RESAMPLES):
        picks = rng.integers(len(given), size=len(given))
        values.append(100 * score(cell.metric, [given[j] for j in picks], [truth[j] for j in picks]))
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(100 * cell.score, float(low), float(high))
