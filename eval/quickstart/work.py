"""What a quickstart of one size does: its trainings, its methods, and the cells on which they are compared."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path

from eval.config import CALIBRATED, Protocol
from eval.contenders import Backbones, Contender, contender, finished_training
from eval.fingerprints import training_print
from eval.harness import Comparison
from eval.quickstart.config import QuickstartRun
from eval.quickstart.sizes import FIELDS, LARGEST, NOUNS, OPTIONS, SIZES, Size, SizeName
from metaicl.lm.released import METAICL, RELEASED
from metaicl.methods import method_class
from metaicl.training.checkpoint import read_training
from metaicl.training.config import TrainerConfig, TrainRun, run_folder
from metaicl.training.run import seen_tasks
from task_suites.core.errors import counted
from task_suites.formats.prompt_format import PromptFormat
from task_suites.provenance import data_record
from task_suites.task import Task, TaskSuite

FREE = ("random", "majority")  # they run no model
UNTRAINED = (*FREE, "zero_shot", "icl", CALIBRATED)
TRAINED = ("protonet", "metaicl")
FULL = ("protonet", "multitask", "fomaml", "fomaml_icl", "metaicl_channel", "metaicl")


@dataclass(frozen=True)
class Setting:
    """What all sizes of one quickstart share."""

    run: QuickstartRun
    suite: TaskSuite
    backbones: Backbones = field(default_factory=Backbones)

    @property
    def folder(self) -> Path:
        slug = re.sub("[^a-z0-9]+", "-", self.suite.name.lower())
        return run_folder(self.run.output_dir, self.run.run_name, f"quickstart-{slug}")

    def works(self) -> list[Work]:
        """Return the work of each size that may be chosen, the largest first."""
        asked, full = self.run.asked, LARGEST if self.run.full else None
        if name := self.run.size or full:
            return [Work(self, name, asked.at(name))]
        return [Work(self, name, size) for name, size in asked.choices().items()]

    @cached_property
    def comparison(self) -> Comparison:
        """The comparison of the largest size, of which the others are parts."""
        size = self.works()[0].size
        protocol = Protocol(self.ks(size), size.seeds, size.queries, stratified=True, curve_seeds=1)
        return Comparison(spread_tasks(self.suite.split("meta_test"), size.tasks), protocol, self.folder)

    def ks(self, size: Size) -> list[int]:
        """Return the numbers of demonstrations of a size."""
        return sorted({max(1, self.run.k // 4), self.run.k}) if size.curve else [self.run.k]

    @cached_property
    def untrained(self) -> list[Contender]:
        """The contenders that need no meta-training here, fine-tuning left out."""
        return [*(untrained(name, self) for name in UNTRAINED), *self._released()]

    def _released(self) -> list[Contender]:
        """Return the adapter that ships with the package, where it is one of the run's model and new to the tasks."""
        released = RELEASED[METAICL]
        training = read_training(released.folder)
        data = data_record(self.suite.split("meta_test"))
        if self.run.backbone.model != released.base or training is None or seen_tasks(training, data):
            return []
        made = contender(METAICL, self.run.backbone, PromptFormat(), self.backbones)
        return [replace(made, build=cache(made.build), curve=False)]


@dataclass(frozen=True)
class Work:
    """A quickstart of one size. `size` has the values that the user gave instead of those that the name stands for."""

    setting: Setting
    name: SizeName
    size: Size

    @property
    def run(self) -> QuickstartRun:
        """The configuration that repeats this work's numbers on any machine."""
        given = {OPTIONS.get(name, name): getattr(self.size, name) for name in FIELDS}
        return replace(self.setting.run, size=self.name, minutes=None, **given)

    @property
    def label(self) -> str:
        """The size's name, and what differs from it."""
        named = self.setting.run.asked.at(self.name)
        given = self.setting.run.asked.given
        other = [n for n in FIELDS if n in given or getattr(self.size, n) != getattr(named, n)]
        amounts = [(NOUNS[name], getattr(self.size, name)) for name in other]
        more = ", ".join("all tasks" if (noun, n) == ("task", 0) else counted(n, noun) for noun, n in amounts)
        return f"{self.name} with {more}" if more else self.name

    @cached_property
    def comparison(self) -> Comparison:
        tasks = spread_tasks(self.setting.suite.split("meta_test"), self.size.tasks)
        return self.setting.comparison.part(tasks, self.size.seeds, self.setting.ks(self.size))

    @property
    def finetune(self) -> Contender | None:
        """Fine-tuning, on the cells of this size."""
        cells, run = self.size.finetune_cells, self.setting.run
        if not cells:
            return None
        every = run.full and run.finetune_cells is None
        made = contender("finetune", run.backbone, PromptFormat(), self.setting.backbones, cells=0 if every else cells)
        return replace(made, curve=False)  # it takes long

    @cached_property
    def trainings(self) -> list[TrainRun]:
        return [self.training(name) for name in (FULL if self.setting.run.full else TRAINED)]

    def training(self, name: str) -> TrainRun:
        """Return the training of one method."""
        setting, run = self.setting, self.setting.run
        steps, queries, arbitrary = self.size.steps, 8, 0.25
        if name == "protonet":  # it learns one linear map, which does not take long
            steps, queries, arbitrary = max(1, self.size.steps // 8), 16, 0.0
        trainer = TrainerConfig(k=run.k, queries=queries, arbitrary_labels=arbitrary, logging_steps=5, save_steps=10)
        return TrainRun(
            name,
            str(setting.folder / name),
            run.suite,
            name,
            backbone=method_class(name).backbone_config(run.backbone, shared=True),
            trainer=trainer.within_budget(steps),
            progress=run.progress,
        )

    def trained(self, training: TrainRun) -> Contender | None:
        """Return the contender of a training that is finished, or None."""
        return finished_training(training, training_print(training, self.setting.suite))

    def evaluations(self) -> list[Work]:
        """Return this work with each smaller comparison and its own last, the smallest first. Where the user named a
        size there is nothing smaller."""
        if self.setting.run.size or self.setting.run.full:
            return [self]
        names = [work.name for work in self.setting.works()]
        found: list[Work] = []
        for name in reversed(names[names.index(self.name) :]):
            size = replace(self.setting.run.asked.at(name), steps=self.size.steps)
            if found and _compared(size) == _compared(found[-1].size):
                found.pop()
            found.append(replace(self, name=name, size=size))
        return found


def _compared(size: Size) -> tuple[int, int, bool]:
    """Return what a comparison's cells depend on."""
    return size.seeds, size.tasks, size.curve


def spread_tasks(tasks: Sequence[Task], count: int) -> list[Task]:
    """Return `count` tasks spread over all of them; all where `count` is 0. Those of a smaller count are among those of
    a larger one, up to the count of the largest size."""
    most = max(count, SIZES[LARGEST].tasks)
    some = [tasks[i * len(tasks) // most] for i in range(most)] if most < len(tasks) else list(tasks)
    order = sorted(range(len(some)), key=lambda i: 7 * i % len(some))  # of ten, every third: 0, 3, 6, 9, 2, 5, ...
    return [some[i] for i in sorted(order[:count])] if count else list(tasks)


def untrained(name: str, setting: Setting) -> Contender:
    """Return a contender without meta-training."""
    made = contender(name, setting.run.backbone, PromptFormat(), setting.backbones)
    return replace(made, curve=name not in ("zero_shot", CALIBRATED))  # zero-shot reads no demonstrations
