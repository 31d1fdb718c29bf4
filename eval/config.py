"""The typed configurations of the comparing commands. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from metaicl.lm.config import ENCODER, BackboneConfig
from metaicl.training.config import TrainerConfig, ValidationConfig, run_folder, suite_section
from task_suites.core.errors import UserError
from task_suites.core.flat import section
from task_suites.core.ranges import Count, Natural, NonNegative, Positive, Share, Whole, check_ranges
from task_suites.formats.prompt_format import PromptFormat
from task_suites.sources import SuiteConfig

CALIBRATED = "icl_calibrated"  # what MetaICL gains over this method is meta-training's


@dataclass(frozen=True)
class Protocol:
    """What every method has to answer.

    Attributes:
        k: numbers of demonstrations. The smaller support set is the start of the larger.
        seeds: support sets for each task.
        queries: queries for each support set, the same for all methods.
        per_class: k counts the demonstrations of each class.
        stratified: queries have the class shares of their task, with at least one of each class if there are enough
            queries. Few queries then estimate macro-F1 better.
        curve_seeds: support sets for each task at every k but the largest; 0 takes as many as seeds.
        retrieval: show each query the train examples nearest to it: "bm25", or `package.module:function` that turns
            texts into an array. Methods then adapt to each query. Unset: one support set for all queries.
        diversity: for retrieval: 0 takes the nearest examples, larger values (below 1) avoid similar ones.
        demonstrations: fixed demonstrations of a task: their positions in its train examples (from 0), or their inputs.
            The first k are shown. Other tasks get drawn ones.
        demonstration_labels: the labels shown: "gold" (the right ones), "random" (any option), "flipped" (the option
            after the right one) or "arbitrary" (meaningless words, in queries too; docs/probes.md).
        demonstration_inputs: "own" shows the demonstrations' inputs, "other" those of another task, with the labels of
            the own ones.
        demonstration_order: each number is another order of the demonstrations; 0 is the order of the draw.
    """

    k: list[Count] = field(default_factory=lambda: [16])
    seeds: Count = 3
    queries: Count = 32
    per_class: bool = False
    stratified: bool = False
    curve_seeds: Natural = 0
    retrieval: str = ""
    diversity: Share = 0.0
    demonstrations: dict[str, list[int | str]] = field(default_factory=dict)
    demonstration_labels: Literal["gold", "random", "flipped", "arbitrary"] = "gold"
    demonstration_inputs: Literal["own", "other"] = "own"
    demonstration_order: Natural = 0

    def __post_init__(self) -> None:
        check_ranges(self)
        asked = [name for name in ("per_class", "retrieval", "demonstrations") if getattr(self, name)]
        if len(asked) > 1:
            raise UserError(f"{' and '.join(asked)} exclude each other", fix="Give one of them.")
        if self.diversity and not self.retrieval:
            raise UserError(
                f"diversity is {self.diversity}, but no demonstrations are retrieved",
                fix="Set retrieval, or leave diversity out.",
            )
        if not self.k:
            raise UserError("k is empty", expected="numbers of demonstrations, such as 4 16")
        if len(set(self.k)) < len(self.k):
            raise UserError("k names a number twice", found=self.k, expected="different numbers")
        if self.curve_seeds > self.seeds:
            what = f"curve_seeds must be at most seeds, {self.seeds}, but is {self.curve_seeds}"
            raise UserError(what, fix="Lower it, or leave it out.")


@dataclass(frozen=True)
class EvaluateRun:
    """Compare methods on the tasks of one side of the split.

    Attributes:
        run_name: the name of the comparison. Unset: the last part of output_dir, else "comparison".
        output_dir: the folder of the comparison. Unset: runs/NAME.
        suite: tasks
        split: the side of the split whose tasks are answered.
        methods: names of methods (`metaicl methods list`), folders of runs (runs/NAME) or `package.module:Name`.
            NAME@MODEL gives a method its own model (`knn@minilm-l6`).
        method_options: options of a method, by its name in `methods`: finetune.steps=40.
        backbone: model, for methods that are not loaded from a folder
        encoder: the sentence encoder, for methods that run on encoders only.
        format: how examples become prompts, for methods that are not loaded from a folder: a name (docs/formats.md),
            then fields such as chat=true.
        protocol: evaluation: demonstrations, support sets and queries
        highlight: the method that the report compares with the baseline: its name, or that of its run.
        baseline: the method that all others are compared with.
        unknown_provenance: what to do with a method whose folder does not record its training tasks: "refuse" it, or
            "allow" it, which marks the results.
        check_with: "lm-eval" also scores each task with options by lm-evaluation-harness, on the same model and the
            plain prompt format, and compares every score.
        pool_runs: show the trainings of one method as one row, whose interval includes the variance between trainings.
        resume: add to the comparison in the folder; results of another one there are an error. --no-resume begins again
            and moves the folder aside, to NAME.earlier-1 and so on.
        progress: draw a progress bar.
    """

    run_name: str = ""
    output_dir: str = ""
    suite: SuiteConfig = suite_section()
    split: Literal["meta_train", "meta_validation", "meta_test"] = "meta_test"
    methods: list[str] = field(default_factory=lambda: ["random", "majority", "zero_shot", "icl"])
    method_options: dict[str, dict[str, Any]] = field(default_factory=dict)
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    encoder: str = ENCODER
    format: PromptFormat = section(PromptFormat, whole=True)
    protocol: Protocol = field(default_factory=Protocol)
    highlight: str = "metaicl"
    baseline: str = "icl"
    unknown_provenance: Literal["refuse", "allow"] = "refuse"
    check_with: Literal["lm-eval"] | None = None
    pool_runs: bool = False
    resume: bool = True
    progress: bool = True

    @property
    def folder(self) -> Path:
        return run_folder(self.output_dir, self.run_name, "comparison")


@dataclass(frozen=True)
class TuneRun:
    """Search the hyperparameters of a method on the meta-validation tasks, by Optuna.

    Attributes:
        run_name: the name of the study. Unset: the last part of output_dir, else "tune".
        output_dir: the folder of the study. Unset: runs/NAME.
        suite: tasks
        method: the name of a method (`metaicl methods list`) or `package.module:Name`.
        method_options: options of the method that stay fixed.
        backbone: model
        format: how examples become prompts: a name (docs/formats.md), then fields such as chat=true.
        trainer: training, but for what is tuned
        validation: validation, which scores a trial
        trials: the number of trials. A study that was stopped continues.
        budget_seconds: seconds of meta-training in each trial, as measured on this machine before the first; 0 takes
            max_steps.
        space: what is searched: `learning_rate: [log, 1e-4, 3e-3]`, `options.NAME: [int, 1, 9]`, `options.NAME:
            [choice, a, b]`. Unset: the ranges of the method.
        sampler_seed: seeds the proposals of Optuna's sampler.
        progress: draw progress bars.
    """

    run_name: str = ""
    output_dir: str = ""
    suite: SuiteConfig = suite_section()
    method: str = "metaicl"
    method_options: dict[str, Any] = field(default_factory=dict)
    backbone: BackboneConfig = field(default_factory=lambda: BackboneConfig(lora_layers=10))
    format: PromptFormat = section(PromptFormat, whole=True)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    validation: ValidationConfig = section(ValidationConfig, before="validation_")
    trials: Count = 8
    budget_seconds: NonNegative = 0.0
    space: dict[str, list[Any]] = field(default_factory=dict)
    sampler_seed: Whole = 0
    progress: bool = True

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.budget_seconds:
            refuse_steps(self.trainer, self.budget_seconds)

    @property
    def folder(self) -> Path:
        return run_folder(self.output_dir, self.run_name, "tune")


@dataclass(frozen=True)
class BenchmarkRun:
    """Compare all methods on held-out tasks of each application, each with the same budget.

    Attributes:
        run_name: the name of the benchmark. Unset: the last part of output_dir, else "benchmark".
        output_dir: the folder of the benchmark. Unset: runs/NAME. The same command continues in it.
        suite: tasks to meta-train on, and the applications' tasks
        applications: the meta-test tasks of each application.
        methods: names of methods, or NAME@MODEL for a method on a model of its own. Unset: all.
        trainings: trainings of each method that is meta-trained. They differ by their seeds; scores are means over
            them, and intervals include what differs between trainings.
        hyperparameters: a folder of studies: `metaicl tune --output_dir FOLDER/METHOD` writes
            FOLDER/METHOD/hyperparameters.yaml. Methods without such a file have their defaults.
        backbone: model
        encoder: the sentence encoder, for methods that run on encoders only.
        protocol: evaluation: demonstrations, support sets and queries
        trainer: training; its steps come from the budget
        budget_seconds: seconds of meta-training for each method, as measured on its first episodes.
        max_minutes: begin no new method after this many minutes; 0 has no limit.
        progress: draw progress bars.
    """

    run_name: str = ""
    output_dir: str = ""
    suite: SuiteConfig = suite_section(lambda: SuiteConfig(max_words=40))
    applications: dict[str, list[str]] = field(default_factory=dict)
    methods: list[str] = field(default_factory=list)
    trainings: Count = 1
    hyperparameters: str = ""
    backbone: BackboneConfig = field(default_factory=lambda: BackboneConfig(lora_layers=10))
    encoder: str = ENCODER
    protocol: Protocol = field(default_factory=lambda: Protocol([1, 4, 16], 3, 40, curve_seeds=1))
    trainer: TrainerConfig = section(
        lambda: TrainerConfig(save_steps=20), k="train_k", queries="train_queries", per_class="train_per_class"
    )
    budget_seconds: Positive = 600.0
    max_minutes: NonNegative = 0.0
    progress: bool = True

    def __post_init__(self) -> None:
        check_ranges(self)
        refuse_steps(self.trainer, self.budget_seconds)

    @property
    def folder(self) -> Path:
        return run_folder(self.output_dir, self.run_name, "benchmark")


@dataclass(frozen=True)
class ReproduceRun:
    """Repeat the experiments of a paper with its settings, and print its numbers beside ours.

    Attributes:
        paper: metaicl (Min et al. 2022, arXiv 2110.15943) or ict (Chen et al. 2022, arXiv 2110.07814).
        setting: the paper's split of its tasks, such as hr_to_lr.
        data: the folder of the paper's data, in its own layout (docs/reproducing.md).
        rows: rows of the paper's table, by their names. Unset: all.
        weights_of: the file of published weights (model.pt) of a row, used instead of training: MetaICL=model.pt.
        output_dir: the folder of the run. Unset: runs/NAME.
        run_name: the name of the run. Unset: the paper and the setting.
        backbone: model. Where none is named, it is the paper's.
        max_steps: steps of each meta-training. Unset: the paper's.
        optim: the optimiser, as in `metaicl train`. Unset: the paper's.
        seeds: use only this many of the paper's seeds, from the first; 0 takes all.
        queries: the largest number of test examples of a task; 0 takes all.
        progress: draw progress bars.
    """

    paper: str = "metaicl"
    setting: str = "hr_to_lr"
    data: str = ""
    rows: list[str] = field(default_factory=list)
    weights_of: dict[str, str] = field(default_factory=dict)
    output_dir: str = ""
    run_name: str = ""
    backbone: BackboneConfig = field(default_factory=lambda: BackboneConfig(model=""))
    max_steps: Count | None = None
    optim: Literal["adamw", "adamw_8bit"] | None = None
    seeds: Natural = 0
    queries: Natural = 0
    progress: bool = True

    def __post_init__(self) -> None:
        check_ranges(self)

    @property
    def folder(self) -> Path:
        return run_folder(self.output_dir, self.run_name, f"{self.paper}-{self.setting}")


def refuse_steps(trainer: TrainerConfig, seconds: float) -> None:
    """Raise when both the configuration and a budget of seconds say how many steps a training takes.

    Raises:
        UserError: max_steps is set.
    """
    if trainer.max_steps is not None:
        raise UserError(
            f"max_steps is {trainer.max_steps}, but the steps come from a budget of {seconds:g} s",
            fix="Leave max_steps out, here and in the hyperparameters.",
        )
