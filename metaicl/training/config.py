"""The typed configurations of commands. No torch here: the command line shows its help from this file only."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from metaicl.lm.config import BackboneConfig
from metaicl.lm.models import RUNS
from task_suites.core.errors import UserError
from task_suites.core.files import real
from task_suites.core.flat import section
from task_suites.core.ranges import Count, Natural, NonNegative, Positive, Share, Whole, check_ranges
from task_suites.formats.prompt_format import PromptFormat
from task_suites.mixing import Mixing
from task_suites.sources import SuiteConfig


def run_folder(output_dir: str, run_name: str, default: str) -> Path:
    """Return the folder of a run: `output_dir`, else one in `runs` by the run's name.

    Args:
        default: the name of a run that is given none.

    Raises:
        UserError: the folder is the working folder or one that holds it; or the name leads out of `runs`.
    """
    if output_dir:
        folder, here = Path(output_dir), Path.cwd()
        if real(folder) in (here, *here.parents):
            fix = "Give a folder of the run's own, such as --output_dir runs/first-try."
            raise UserError("output_dir holds other things than a run", found=output_dir, fix=fix)
        return folder
    path = Path(run_name or default)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        fix = "Give the run's folder as --output_dir."
        raise UserError(
            "run_name leads out of the folder of runs", found=run_name, expected="such as first-try", fix=fix
        )
    return RUNS / path


@dataclass(frozen=True)
class TrainerConfig:
    """The outer loop's settings.

    Attributes:
        max_steps: steps of the optimiser. Unset: 100, or as many as a budget of seconds allows.
        episodes_per_step: episodes in one step, over all processes.
        row_tokens: the largest number of tokens in a forward pass, which may hold several episodes. A larger episode
            has a pass of its own.
        k: demonstrations of a training episode.
        k_min: the number of demonstrations is drawn for each episode, from k_min to k; 0 always takes k.
        curriculum_steps: the largest number of demonstrations grows from k_min (or 1) to k over this many steps; 0
            begins with k.
        mixing: how often a task is drawn: "uniform" (each once a round), "proportional" to its number of train
            examples, "temperature" (to that number ^ (1 / mixing_temperature)) or "weights". "group_dro" draws as
            "uniform" does, and learns a weight for each task's loss, which grows faster for a higher loss.
        mixing_temperature: for mixing "temperature": a higher value draws small tasks more often.
        mixing_weights: for mixing "weights": the weight of each task, family, suite or type of task by its name. What
            is not named is never drawn.
        mixing_weights_by: what mixing_weights names: "task", "family", "suite" or "type" (classification, ...). The
            tasks of a family, suite or type share its weight evenly.
        mixing_step_size: for mixing "group_dro": each step multiplies the weights of its tasks by exp(mixing_step_size
            * loss); 0 keeps them equal.
        queries: queries of each episode.
        max_classes: the largest number of classes in a training episode; 0 takes all.
        arbitrary_labels: the fraction of episodes whose label words are replaced by arbitrary ones.
        per_class: k counts the demonstrations of each class.
        optim: the optimiser: "adamw", or "adamw_8bit", whose states take a quarter of the memory (the extra
            `bitsandbytes`).
        adam_beta2: AdamW's decay of squared gradients.
        learning_rate: AdamW's peak learning rate.
        lr_scheduler_type: "linear" and "cosine" lower the rate to zero after the warm-up, "constant" keeps it.
        warmup_steps: steps of linear warm-up. Unset: 10, or a quarter of the steps that a budget allows if that is
            less.
        weight_decay: AdamW's decoupled weight decay.
        max_grad_norm: gradients with a larger norm are scaled down to this norm.
        weight_averaging: the fraction of the last steps whose weights are averaged into the final ones; 0 takes the
            weights of the last step.
        seed: seeds every draw.
        eval_steps: steps between validations. With 0 there is none, and the last weights count as the best.
        early_stopping_patience: training stops after this many validations without a better score; 0 never stops early.
        save_steps: steps between checkpoints; 0 writes none.
        logging_steps: steps between lines of metrics.jsonl.
        peer_timeout: seconds after which processes of one training end if another one does not answer. They name it.
    """

    max_steps: Count | None = None
    episodes_per_step: Count = 1
    row_tokens: Count = 2048
    k: Count = 16
    k_min: Natural = 0
    curriculum_steps: Natural = 0
    mixing: Literal["uniform", "proportional", "temperature", "weights", "group_dro"] = "uniform"
    mixing_temperature: Positive = 2.0
    mixing_weights: dict[str, NonNegative] = field(default_factory=dict)
    mixing_weights_by: Literal["task", "family", "suite", "type"] = "task"
    mixing_step_size: NonNegative = 0.01
    queries: Count = 16
    max_classes: Natural = 8
    arbitrary_labels: Share = 0.25
    per_class: bool = False
    optim: Literal["adamw", "adamw_8bit"] = "adamw"
    adam_beta2: Share = 0.999
    learning_rate: Positive = 1e-3
    lr_scheduler_type: Literal["linear", "cosine", "constant"] = "linear"
    warmup_steps: Natural | None = None
    weight_decay: NonNegative = 0.0
    max_grad_norm: Positive = 1.0
    weight_averaging: Share = 0.5
    seed: Whole = 0
    eval_steps: Natural = 0
    early_stopping_patience: Natural = 0
    save_steps: Natural = 0
    logging_steps: Count = 5
    peer_timeout: Count = 600

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.k_min > self.k:
            raise UserError(f"k_min must be at most k, {self.k}, but is {self.k_min}", fix="Lower k_min, or raise k.")
        self.task_mixing()  # its settings are checked now, not at the first step

    def task_mixing(self) -> Mixing:
        """Return how often tasks are drawn."""
        return Mixing(self.mixing, self.mixing_temperature, self.mixing_weights, self.mixing_weights_by)

    def most_demonstrations(self, step: int) -> int:
        """Return the upper bound of k at a step (counted from 0)."""
        if not self.curriculum_steps:
            return self.k
        least = self.k_min or 1
        return least + (self.k - least) * min(step, self.curriculum_steps) // self.curriculum_steps

    def resolved(self) -> ResolvedTrainerConfig:
        """Return the configuration with a value for each option that is unset."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
        return ResolvedTrainerConfig(**given)

    def within_budget(self, steps: int) -> TrainerConfig:
        """Return the configuration with the steps that a budget allows, of which a quarter at most warm up."""
        warmup = min(10, steps // 4) if self.warmup_steps is None else self.warmup_steps
        return replace(self, max_steps=steps, warmup_steps=warmup)

    def rate(self, step: int) -> float:
        """Return the learning rate of a step (counted from 0)."""
        resolved = self.resolved()
        steps, warmup = resolved.max_steps, resolved.warmup_steps
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        done = (step - warmup) / max(1, steps - warmup)
        falling = {"linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done)), "constant": 1.0}
        return self.learning_rate * falling[self.lr_scheduler_type]


@dataclass(frozen=True)
class ResolvedTrainerConfig(TrainerConfig):
    """A `TrainerConfig` whose every option has a value."""

    max_steps: Count = 100
    warmup_steps: Natural = 10


@dataclass(frozen=True)
class ValidationConfig:
    """How meta-validation measures a method while it is trained: mean score over the meta-validation tasks.

    Attributes:
        k: demonstrations.
        seeds: support sets for each task.
        queries: queries for each support set.
    """

    k: Count = 16
    seeds: Count = 1
    queries: Count = 32

    def __post_init__(self) -> None:
        check_ranges(self, "validation_")


def suite_section(default: Callable[[], SuiteConfig] = SuiteConfig) -> Any:
    """Return the field of a command's configuration that says which tasks it uses."""
    return section(default, names="suite", split="split_file")


@dataclass(frozen=True)
class TrainRun:
    """Meta-train a method on the meta-training tasks of one or more suites.

    Attributes:
        run_name: the name of the run. Unset: the last part of output_dir, else the name of the method.
        output_dir: the folder of the run. Unset: runs/NAME.
        suite: tasks
        method: the name of a method (`metaicl methods list`) or `package.module:Name`.
        method_options: options of the method (`metaicl methods show NAME`).
        backbone: model
        format: how examples become prompts: a name (docs/formats.md), then fields such as chat=true.
        trainer: training
        validation: validation during training (with eval_steps)
        resume: continue from the newest checkpoint in the folder; another run there is an error. --no-resume begins at
            the first step and moves the folder aside, to NAME.earlier-1 and so on.
        progress: draw a progress bar.
        report_to: also send each line of metrics.jsonl to experiment trackers: "tensorboard", "wandb", "mlflow" or
            "trackio". Each is an extra of its name.
        plan: train nothing, and report memory, operations and traffic of the training on this many devices, without
            loading the weights; 0 trains.
        plan_tflops: for plan: how many operations a device does in a second, in 10^12; 0 times a matrix product on this
            CPU.
    """

    run_name: str = ""
    output_dir: str = ""
    suite: SuiteConfig = suite_section()
    method: str = "metaicl"
    method_options: dict[str, Any] = field(default_factory=dict)
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    format: PromptFormat = section(PromptFormat, whole=True)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    validation: ValidationConfig = section(ValidationConfig, before="validation_")
    resume: bool = True
    progress: bool = True
    report_to: list[Literal["tensorboard", "wandb", "mlflow", "trackio"]] = field(default_factory=list)
    plan: Natural = 0
    plan_tflops: NonNegative = 0.0

    def __post_init__(self) -> None:
        check_ranges(self)

    @property
    def folder(self) -> Path:
        return run_folder(self.output_dir, self.run_name, self.method.rpartition(":")[2])
