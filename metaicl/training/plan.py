"""What a meta-training needs, worked out without its weights: tokens, memory, operations, traffic.

The method's own loss and its backward pass over the largest row run on a model without data
(metaicl/training/traced.py). So memory and operations are counted for whatever architecture transformers has,
also for one that would not fit into this machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import Any

from torch import Tensor, nn

from metaicl.lm.devices import matmul_rate, with_precision
from metaicl.lm.prompt_tree import best_fit
from metaicl.lm.quantized import BYTES
from metaicl.methods.base import Method
from metaicl.training.checkpoint import MethodConfig
from metaicl.training.config import TrainRun
from metaicl.training.run import duration
from metaicl.training.step_episodes import training_episodes
from metaicl.training.traced import most_memory, operations, shapes
from task_suites.core.errors import UserError
from task_suites.episodes import Episode
from task_suites.task import TaskSuite

STEPS = 16  # steps whose episodes are looked at


@dataclass(frozen=True)
class TrainingPlan:
    """What a training needs.

    Attributes:
        devices: the number of devices, each of which holds the whole model.
        parameters, learned: numbers of weights.
        weights, gradients, optimizer: bytes on each device.
        activations: the most bytes that a forward and backward pass takes beside these.
        step_tokens: tokens of a mean step, over all devices.
        row_tokens: tokens of the largest row, to which the activations belong.
        step_flops: floating-point operations of a mean step, over all devices.
        traffic: bytes that each device sends in a step (a ring over the gradients).
        steps: of the training.
        rate: operations in a second that one device is taken to do.
    """

    devices: int
    parameters: int
    learned: int
    weights: int
    gradients: int
    optimizer: int
    activations: int
    step_tokens: float
    row_tokens: int
    step_flops: float
    traffic: int
    steps: int
    rate: float

    @property
    def memory(self) -> int:
        """The bytes of all tensors of a device when they are most."""
        return self.weights + self.gradients + self.optimizer + self.activations

    @property
    def seconds(self) -> float:
        """The least seconds of the training: its operations at the rate, nothing else."""
        return self.steps * self.step_flops / self.rate / self.devices

    def table(self) -> str:
        """Return the plan as lines of text."""
        rows = [
            ("parameters", f"{self.parameters:,}"),
            ("learned", f"{self.learned:,}"),
            ("devices", f"{self.devices}"),
            ("memory of each device", size(self.memory)),
            ("  weights", size(self.weights)),
            ("  gradients", size(self.gradients)),
            ("  optimiser states", size(self.optimizer)),
            (f"  activations of a row of {self.row_tokens:,} tokens", size(self.activations)),
            ("tokens of a step", f"{self.step_tokens:,.0f}"),
            ("operations of a step", f"{self.step_flops / 1e12:,.2f} TFLOP"),
            ("sent by each device in a step", size(self.traffic)),
            ("steps", f"{self.steps:,}"),
            (f"time, at least, at {self.rate / 1e12:,.2f} TFLOP/s a device", _least(self.seconds)),
        ]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _least(seconds: float) -> str:
    """Return seconds for people, short ones with a digit after the point."""
    if seconds < 0.1:
        return "less than 0.1 s"
    return duration(seconds) if seconds >= 10 else f"{seconds:.1f} s"


def size(count: float) -> str:
    """Return a number of bytes for people."""
    return f"{count / 1e9:,.2f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def training_plan(run: TrainRun, suite: TaskSuite, devices: int, tflops: float = 0.0) -> TrainingPlan:
    """Return what a run needs; nothing is loaded but the model's configuration and its tokenizer.

    Args:
        devices: the number of devices.
        tflops: the operations of one device in a second, in 10^12; 0 times a matrix product on this CPU.

    Raises:
        UserError: the devices cannot share a step's episodes.
    """
    trainer = run.trainer.resolved()
    _check_shares(trainer.episodes_per_step, devices)
    config = MethodConfig(run.method, run.method_options, with_precision(run.backbone), run.format).resolved()
    method = config.build(shapes(config.backbone))
    tasks = [task for task in suite.split("meta_train") if method.refusal(task) is None]
    episodes = [e for step in range(min(STEPS, trainer.max_steps)) for e in training_episodes(tasks, run.trainer, step)]
    sizes = [method.tokens(episode) for episode in episodes]
    per_device = trainer.episodes_per_step // devices
    most = 1 if trainer.mixing == "group_dro" else trainer.row_tokens  # 1: each episode is a row by itself
    shares = [range(i, i + per_device) for i in range(0, len(sizes), per_device)]
    rows = [[[share[i] for i in one] for one in best_fit([sizes[i] for i in share], most)] for share in shares]
    largest = max((row for share in rows for row in share), key=lambda row: sum(sizes[i] for i in row))
    several = max(map(len, rows)) > 1
    activations = most_memory(method, lambda: _loss(method, [episodes[i] for i in largest]), several)
    mean = fmean(sizes)
    usual = min(range(len(sizes)), key=lambda i: abs(sizes[i] - mean))
    flops = operations(method, lambda: _loss(method, [episodes[usual]]))  # attention stays within an episode
    weights = list(method.parameters())
    learned = sum(p.numel() for p in weights if p.requires_grad)
    wide = 4 if config.backbone.dtype == "float32" or config.backbone.weights == "full" else 2
    if wide == 4 and config.backbone.dtype == "bfloat16":
        activations += 2 * learned  # autocast's copy of the weights
    return TrainingPlan(
        devices,
        parameters=sum(p.numel() for p in weights),
        learned=learned,
        weights=weight_bytes(method, wide, BYTES.get(config.backbone.quantization, wide)),
        gradients=4 * learned,
        optimizer=8 * learned,
        activations=activations,
        step_tokens=mean * trainer.episodes_per_step,
        row_tokens=sum(sizes[i] for i in largest),
        step_flops=flops * mean / sizes[usual] * trainer.episodes_per_step,
        traffic=round(2 * (devices - 1) / devices * 4 * learned),
        steps=trainer.max_steps,
        rate=1e12 * tflops or matmul_rate(config.backbone.dtype),
    )


def _loss(method: Method, episodes: list[Episode]) -> Tensor:
    """Return the loss of a row; nothing is taken from an earlier pass, which had other episodes."""
    method.backbone.shared.clear()
    return method(episodes)[0]


def _check_shares(episodes: int, devices: int) -> None:
    if episodes % devices:
        found = f"{episodes} episodes, {devices} devices"
        fix = f"Set --episodes_per_step {devices}, or a multiple of it."
        raise UserError("episodes_per_step is not a multiple of the number of devices", found=found, fix=fix)


def weight_bytes(method: Method, wide: int, linear: float) -> int:
    """Return the bytes of all weights: four for one that learns, `linear` for one of the base model's linear layers,
    `wide` for another."""
    model: Any = method.backbone.model
    head = model.get_output_embeddings()
    inner = {id(m.weight) for m in model.modules() if isinstance(m, nn.Linear) and m is not head}
    sizes = ((p, linear if id(p) in inner else wide) for p in method.parameters())
    return round(sum(p.numel() * (4 if p.requires_grad else size) for p, size in sizes))
