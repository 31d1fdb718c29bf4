"""The rows of a paper's table: meta-train those that have to be, answer with each, and put our numbers beside the
paper's. Finished cells and trainings are kept; the same command continues."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from eval.answering import make_validate
from eval.cells import Cell, Refusal
from eval.config import ReproduceRun
from eval.contenders import Backbones, Contender, contender, trained_contender
from eval.harness import Comparison
from eval.reproduce.data import held_out_tasks, protocol_of, seen_sources, training_suite
from eval.reproduce.protocol import Published, Row
from eval.reproduce.table import Reproduced, markdown, row_of, scored_cells
from metaicl.lm.config import BackboneConfig
from metaicl.lm.devices import with_precision
from metaicl.lm.state_dict import model_folder
from metaicl.training.config import TrainerConfig, TrainRun
from metaicl.training.folders import one_process
from metaicl.training.run import manifest, train_run, write_config
from task_suites.core.atomic import write_text
from task_suites.core.errors import UserError, counted, nearest
from task_suites.core.flat import flat
from task_suites.sources import SuiteConfig
from task_suites.task import Task, TaskSuite

Say = Callable[[str], None]


@one_process
def reproduce_run(run: ReproduceRun, say: Say = print) -> list[Reproduced]:
    """Run the rows of a paper's table, write `reproduced.json` and `reproduced.md`, and return the rows.

    Raises:
        UserError: an unknown setting or row, data that is not there, or what training and evaluation raise.
    """
    published = Published.read(run.paper)
    published.check_setting(run.setting)
    rows = published.chosen(run.rows)
    for name in run.weights_of:
        if name not in [row.name for row in rows if row.answers_as]:
            trained = [row.name for row in published.rows.values() if row.answers_as]
            raise UserError(f"no row of this name takes weights: {name!r}", fix=nearest(name, trained))
    if not run.data:
        raise UserError("the folder of the paper's data is not given", fix="Give it: --data DIR.")
    backbone = replace(run.backbone, model=run.backbone.model or published.model)
    run = replace(run, backbone=with_precision(backbone))
    write_config(run.folder / "config.yaml", flat(run))
    reproduction = Reproduction(published, run, Backbones(), say)
    found = [reproduction.row(row) for row in rows]
    text = markdown(published, run.setting, found, run.backbone.model, reproduction.notes())
    about = {"paper": run.paper, "setting": run.setting, "model": run.backbone.model, "manifest": manifest()}
    result = {**about, "rows": [row.to_json() for row in found]}
    write_text(run.folder / "reproduced.json", json.dumps(result, indent=1) + "\n")
    write_text(run.folder / "reproduced.md", text)
    say(text)
    return found


@dataclass(frozen=True)
class Reproduction:
    """A paper's protocol at work."""

    published: Published
    run: ReproduceRun
    backbones: Backbones
    say: Say

    @cached_property
    def tokenizer(self) -> Any:
        return self.backbones(replace(self._frozen, weights="frozen")).tokenizer

    @property
    def _frozen(self) -> BackboneConfig:
        """The model of rows that learn none of its weights."""
        return replace(self.run.backbone, weights=None, lora_r=None, lora_alpha=None, lora_layers=None)

    @cached_property
    def tasks(self) -> Mapping[int, Sequence[Task]]:
        """The evaluated tasks by seed."""
        return held_out_tasks(self.published, self.run, self.tokenizer)

    @cached_property
    def training(self) -> TaskSuite:
        """The tasks of meta-training."""
        return training_suite(self.published, self.run, self.tokenizer)

    @cached_property
    def comparisons(self) -> Mapping[int, Comparison]:
        """One comparison for each seed; a single one where demonstrations are drawn, by the seeds that it counts."""
        held_out = self.tasks if self.published.support == "files" else dict([next(iter(self.tasks.items()))])
        count = 1 if self.published.support == "files" else len(self.tasks)
        return {
            seed: Comparison(
                tasks, protocol_of(self.published, tasks, count, self.run.queries), self.run.folder / f"seed-{seed}"
            )
            for seed, tasks in held_out.items()
        }

    def row(self, row: Row) -> Reproduced:
        """Run one row: on all seeds where its answers depend on the demonstrations, else on the first."""
        made, steps = self._contender(row)
        made = replace(made, build=cache(made.build))  # once for all seeds
        answered = self._answered(made, list(self.tasks) if row.demonstrated else list(self.tasks)[:1])
        cells = {seed: [cell for cell in found if isinstance(cell, Cell)] for seed, found in answered.items()}
        refusals = [cell for found in answered.values() for cell in found if isinstance(cell, Refusal)]
        refused = [f"{cell.task}: {cell.reason}" for cell in refusals]
        first = next(iter(self.tasks.values()))
        by_task, unscored = scored_cells(self.published.metrics[self.run.setting], first, cells)
        numbers = self.published.rows[row.name].published.get(self.run.setting, [])
        refused = list(dict.fromkeys([*refused, *unscored]))
        for reason in refused:
            self.say(f"{row.name}: {reason}")
        weights = self.run.weights_of.get(row.name)
        done = row_of(row, numbers, by_task, refused=refused, steps=steps, weights=weights)
        self.say(f"{row.name}: {done.mean} on {counted(len(by_task), 'task')}, {counted(len(answered), 'seed')}")
        return done

    def _answered(self, made: Contender, seeds: Sequence[int]) -> dict[int, list[Cell | Refusal]]:
        """Return the finished cells of a row by the paper's seeds."""
        if self.published.support == "files":
            for seed in seeds:
                self.comparisons[seed].run(made)
            return {seed: self.comparisons[seed].finished(made) for seed in seeds}
        (whole,) = self.comparisons.values()
        part = whole.part(whole.tasks, len(seeds), whole.protocol.k)
        part.run(made)
        finished = part.finished(made)
        return {seed: [cell for cell in finished if cell.seed == number] for number, seed in enumerate(seeds)}

    def _contender(self, row: Row) -> tuple[Contender, int | None]:
        """Return what answers in a row, and the steps of the training that was needed."""
        form, run = self.published.prompt_format(row), self.run
        if row.name in run.weights_of:
            file = Path(run.weights_of[row.name])
            folder = model_folder(file, run.backbone.model, run.folder / "models" / row.slug)
            backbone = replace(self._frozen, model=str(folder))
            options = self.published.options_of(row, row.answers_as)
            made = contender(row.answers_as, backbone, form, Backbones(), options)
            return replace(made, name=row.slug, label=row.name), None
        if row.trained:
            return self._meta_trained(row)
        options = self.published.options_of(row, row.method)
        made = contender(row.method, self._frozen, form, self.backbones, options)
        return replace(made, name=row.slug, label=row.name), None

    def _meta_trained(self, row: Row) -> tuple[Contender, int]:
        trainer, run = self._trainer(), self.run
        training = TrainRun(
            run_name=row.slug,
            output_dir=str(run.folder / "trained" / row.slug),
            suite=SuiteConfig([self.training.name]),
            method=row.method,
            method_options=self.published.options_of(row, row.method),
            backbone=replace(run.backbone, weights=run.backbone.weights or row.weights or self.published.weights),
            format=self.published.prompt_format(row),
            trainer=trainer,
            progress=run.progress,
        )
        _, trained = train_run(training, make_validate, self.say, self.training)
        made = trained_contender(trained.folder, trained.seconds)
        return replace(made, name=row.slug, label=row.name), trained.steps

    def _trainer(self) -> TrainerConfig:
        """Return the paper's training, of the steps that the user wants."""
        given = dict(self.published.training)
        if self.published.epochs:
            examples = sum(len(task.examples("train")) for task in self.training.split("meta_train"))
            given["max_steps"] = max(1, examples * self.published.epochs // int(given["episodes_per_step"]))
        changes = {"max_steps": self.run.max_steps, "optim": self.run.optim}
        given |= {name: value for name, value in changes.items() if value is not None}
        if given["max_steps"] <= given.get("warmup_steps", 0):
            given["warmup_steps"] = given["max_steps"] // 4
        return TrainerConfig(**given)

    def notes(self) -> list[str]:
        """Return what a reader has to know: where ours differs, and which tasks may not be new."""
        notes = [*self.published.notes]
        if self.run.queries:
            notes.append(f"At most {self.run.queries} queries of each task were answered.")
        first = next(iter(self.tasks.values()))
        if seen := seen_sources(self.published, self.run, first):
            notes.append(f"Meta-training has a task of the same source as: {', '.join(seen)}.")
        return notes
