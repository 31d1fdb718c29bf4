"""The typed configurations of the comparing commands. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from eval.quickstart.sizes import Asked, SizeName
from metaicl.lm.config import ENCODER, BackboneConfig
from metaicl.training.config import TrainerConfig, ValidationConfig, run_folder, suite_section
from task_suites.core.errors import UserError
from task_suites.core.flat import section
from task_suites.core.ranges import Count, Natural, NonNegative, Positive, Share, Whole, check_ranges
from task_suites.formats.prompt_format import PromptFormat
from task_suites.sources import SuiteConfig


@dataclass(frozen=True)
class Protocol:
    """What every method has to answer.

    Attributes:
        k: numbers of demonstrations; each smaller support set is the start of the larger.
        seeds: support sets a task.
        queries: queries a support set (all methods get the same).
        per_class: k counts the demonstrations of each class.
        stratified: queries have their task's class shares, and at least one of each class, where there are that many:
            with few queries, macro-F1 hangs on whether a rare class came up.
        curve_seeds: support sets a task at each k but the largest, where the score is drawn against k; 0 takes all.
        retrieval: show each query the train examples nearest to it: "bm25", or `package.module:function` from texts to
            an array; empty draws one support set for all queries. Methods that learn do so for each query again.
        diversity: of what is retrieved: 0 takes the nearest, towards 1 it takes fewer that are alike.
        demonstrations: fixed ones, by task: positions in its train examples (from 0), or inputs (one that is a number:
            by its position); the first k are taken. For tasks that are not named they are drawn.
        demonstration_labels: "gold" shows the right ones; "random" shows any option instead of each, "flipped" the
            next one of the options; "arbitrary" writes words that say nothing for the labels, also in queries
            (docs/probes.md).
        demonstration_inputs: "own", or those of an "other" task that is compared, with the answers of the own ones.
        demonstration_order: another number shows the same demonstrations in another order; 0 keeps the draw's.
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
            raise UserError("options exclude each other", found=" and ".join(asked), expected="one of them")
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
            raise UserError(f"curve_seeds must be at most seeds, {self.seeds}, but is {self.curve_seeds}")


@dataclass(frozen=True)
class EvaluateRun:
    """Compare methods on the tasks of one meta-split.

    Attributes:
        run_name: the run's name. Unset: the last part of output_dir, else "comparison".
        output_dir: the run's folder. Unset: runs/NAME.
        suite: tasks
        split: the meta-split that is evaluated on.
        methods: registry names, `package.module:Name`, each with a model of its own where that is wanted
            (`knn@minilm-l6`), or folders of runs (runs/NAME).
        method_options: for each method, as it stands in `methods`, arguments of its class.
        backbone: model, for methods that are not loaded from a folder
        encoder: the sentence encoder, for methods that run on encoders only where `model` is none.
        format: how examples become prompts, for methods that are not loaded from a folder: a name (docs/formats.md),
            then fields such as chat=true.
        protocol: evaluation: demonstrations, support sets and queries
        highlight: the method that the report compares with the baseline: its name, or that of a run.
        baseline: the method that it is compared with.
        unknown_provenance: a method whose folder does not say what it was trained on: "refuse" it, or "allow" it, which
            marks the results.
        check_with: "lm-eval" scores each task with options by lm-evaluation-harness too, on the same model and prompts
            (those of the plain format), and compares both item by item.
        pool_runs: put the trainings of one method together as one row, whose interval includes what differs between
            trainings.
        resume: add to the comparison that the run's folder holds; another one's results there are an error. Without,
            the comparison begins again, and what lies in the folder is moved aside (to NAME.earlier-1 and so on).
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
class QuickstartRun:
    """The whole story in minutes: meta-train a language model and compare it on tasks that it has never seen.

    Attributes:
        suite: tasks, of which only those with options are taken
        full: meta-train six methods and compare eleven (much longer; it says how long).
        json: print one JSON line last.
        output_dir: the run's folder. Unset: runs/NAME.
        run_name: the run's name. Unset: quickstart and the suite's name.
        backbone: model
        k: demonstrations.
        minutes: end within this time, without the installation and the pull of the model: a few steps are timed, and
            the largest size that fits is chosen. Unset: 10, or no limit where `size` or `full` is given.
        size: how much is done: mini, tiny, small, medium or large. Unset: what fits into the minutes. A run of one size
            has the same numbers on any machine.
        max_steps: steps of meta-training, one episode each. Unset: what the size says, and so for the next four.
        seeds: support sets a task.
        queries: queries a support set.
        max_tasks: the most held-out tasks to compare on, spread over the suite; 0 takes all.
        finetune_cells: pairs of a task and a support set on which fine-tuning runs; 0 leaves it out.
        progress: draw progress bars.
    """

    suite: SuiteConfig = suite_section(lambda: SuiteConfig(max_words=40, forms=["options"]))
    full: bool = False
    json: bool = False
    output_dir: str = ""
    run_name: str = ""
    backbone: BackboneConfig = field(default_factory=lambda: BackboneConfig(lora_layers=20))
    k: Count = 16
    minutes: Positive | None = None
    size: SizeName | None = None
    max_steps: Count | None = None
    seeds: Count | None = None
    queries: Count | None = None
    max_tasks: Natural | None = None
    finetune_cells: Natural | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.suite.forms != ["options"]:
            fix = "Leave it out. `metaicl evaluate` compares methods on tasks of other forms."
            raise UserError("the quickstart takes tasks with options only", found=f"forms {self.suite.forms}", fix=fix)

    @property
    def seconds(self) -> float | None:
        """The budget; None where there is none."""
        if self.minutes is not None:
            return 60 * self.minutes
        return None if self.size or self.full else 600.0

    @property
    def asked(self) -> Asked:
        """The values of a size that the user gave."""
        return Asked(self.max_steps, self.seeds, self.queries, self.max_tasks, self.finetune_cells)


@dataclass(frozen=True)
class TuneRun:
    """Find a method's hyperparameters on the meta-validation tasks, by Optuna, every trial recorded.

    Attributes:
        run_name: the study's name. Unset: the last part of output_dir, else "tune".
        output_dir: the study's folder. Unset: runs/NAME.
        suite: tasks
        method: a registry name or `package.module:Name`.
        method_options: arguments of its class that stay as they are.
        backbone: model
        format: how examples become prompts: a name (docs/formats.md), then fields such as chat=true.
        trainer: training, but for what is tuned
        validation: validation, by which a trial is valued
        trials: trials in all; a study that was stopped continues.
        budget_seconds: of meta-training in a trial, as measured on this machine before the first; 0 takes
            max_steps.
        space: what is tuned and how far: `learning_rate: [log, 1e-4, 3e-3]`, `options.NAME: [int, 1, 9]`,
            `options.NAME: [choice, a, b]`; empty takes the method's own.
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
    """All methods on held-out tasks of each application, the same budget for each; finished cells are never done again.

    Attributes:
        run_name: the benchmark's name. Unset: the last part of output_dir, else "benchmark".
        output_dir: the benchmark's folder. Unset: runs/NAME.
        suite: tasks to meta-train on, and the applications' tasks
        applications: application -> its tasks, of the meta-test split.
        methods: registry names; empty takes all.
        hyperparameters: a folder of studies (`metaicl tune --output_dir FOLDER/METHOD` writes
            FOLDER/METHOD/hyperparameters.yaml). Methods without such a file have their defaults, and so have all
            methods where it is unset.
        backbone: model
        encoder: the sentence encoder, for methods that run on encoders only where `model` is none.
        protocol: evaluation: demonstrations, support sets and queries
        trainer: training; its steps come from the budget
        budget_seconds: of meta-training, for each method, on this machine as measured on its first episodes.
        max_minutes: begin no new method after this many minutes; 0 continues to the end.
        progress: draw progress bars.
    """

    run_name: str = ""
    output_dir: str = ""
    suite: SuiteConfig = suite_section(lambda: SuiteConfig(max_words=40))
    applications: dict[str, list[str]] = field(default_factory=dict)
    methods: list[str] = field(default_factory=list)
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
    """Run a paper's whole protocol, with its published settings, and print its numbers beside ours.

    Attributes:
        paper: metaicl (Min et al. 2022, arXiv 2110.15943) or ict (Chen et al. 2022, arXiv 2110.07814).
        setting: which of the paper's splits, such as hr_to_lr.
        data: the folder of the paper's data, in its own layout (docs/reproducing.md).
        rows: rows of the paper's table, by their names; empty takes all.
        weights_of: row -> the file of its published weights (model.pt), which answers instead of a training here.
        output_dir: the folder of what is trained and measured. Unset: runs/NAME.
        run_name: its name. Unset: the paper's and the setting's.
        backbone: model. Where none is named, it is the paper's.
        max_steps: steps of each meta-training. Unset: the paper's.
        optim: the optimiser, as in `metaicl train`. Unset: the paper's.
        seeds: take at most this number of the paper's seeds, the first ones; 0 takes all.
        queries: the most test examples of a task; 0 takes all.
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
