"""What a meta-training needs, worked out without its weights: tokens, memory, operations, traffic.

The model is built on PyTorch's meta device, where tensors have shapes and no data, and one forward and backward pass
over a row of the training's size runs there. So the stored activations and the operations are counted for whatever
architecture transformers has, also for one that would not fit into this machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from metaicl.lm.attention.selection import Choice
from metaicl.lm.backbone import Backbone
from metaicl.lm.config import BackboneConfig
from metaicl.lm.devices import least_seconds, with_precision
from metaicl.lm.loading import open_tokenizer
from metaicl.lm.prompt_tree import best_fit
from metaicl.lm.quantized import BYTES
from metaicl.methods import method_class
from metaicl.methods.in_context.icl import InContext
from metaicl.training.checkpoint import MethodConfig
from metaicl.training.config import TrainRun
from metaicl.training.run import duration
from metaicl.training.step_episodes import training_episodes
from task_suites.core.errors import UserError
from task_suites.task import TaskSuite

ATTENTION = "metaicl_plan"
STEPS = 16  # steps whose episodes are looked at


@dataclass(frozen=True)
class TrainingPlan:
    """What a training needs.

    Attributes:
        devices: the number of devices, each of which holds the whole model.
        parameters, learned: numbers of weights.
        weights, gradients, optimizer, activations: bytes on each device.
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
        """The bytes of each device at the end of a forward pass."""
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
        UserError: the method's step is more than one pass over its prompts, or the devices cannot share its episodes.
    """
    trainer = run.trainer.resolved()
    _check_planned(run.method, trainer.episodes_per_step, devices)
    config = MethodConfig(run.method, run.method_options, with_precision(run.backbone), run.format).resolved()
    method = config.build(shapes(config.backbone))
    tasks = [task for task in suite.split("meta_train") if method.refusal(task) is None]
    episodes = [e for step in range(min(STEPS, trainer.max_steps)) for e in training_episodes(tasks, run.trainer, step)]
    sizes = [method.tokens(episode) for episode in episodes]
    per_device = trainer.episodes_per_step // devices
    shares = [sizes[i : i + per_device] for i in range(0, len(sizes), per_device)]
    most = 1 if trainer.mixing == "group_dro" else trainer.row_tokens  # 1: each episode is a row by itself
    row = max(sum(share[i] for i in one) for share in shares for one in best_fit(share, most))
    backbone: Any = method.backbone.model
    activations, _ = pass_over(backbone, row)
    mean = max(1, round(fmean(sizes)))
    _, flops = pass_over(backbone, mean)  # attention stays within an episode
    weights = list(backbone.parameters())
    learned = sum(p.numel() for p in weights if p.requires_grad)
    wide = 4 if config.backbone.dtype == "float32" or config.backbone.weights == "full" else 2
    if wide == 4 and config.backbone.dtype == "bfloat16":
        activations += 2 * learned  # autocast's copy of the weights
    return TrainingPlan(
        devices,
        parameters=sum(p.numel() for p in weights),
        learned=learned,
        weights=weight_bytes(backbone, wide, BYTES.get(config.backbone.quantization, wide)),
        gradients=4 * learned,
        optimizer=8 * learned,
        activations=activations,
        step_tokens=fmean(sizes) * trainer.episodes_per_step,
        row_tokens=row,
        step_flops=flops * trainer.episodes_per_step,
        traffic=round(2 * (devices - 1) / devices * 4 * learned),
        steps=trainer.max_steps,
        rate=1e12 * tflops or matmul_rate(config.backbone.dtype),
    )


def _check_planned(method: str, episodes: int, devices: int) -> None:
    if episodes % devices:
        found = f"{episodes} episodes, {devices} devices"
        fix = f"Set --episodes_per_step {devices}, or a multiple of it."
        raise UserError("episodes_per_step is not a multiple of the number of devices", found=found, fix=fix)
    if not issubclass(method_class(method), InContext):
        fix = "Train it for some steps: it measures and reports how long it takes."
        raise UserError(f"a step of {method} is more than one pass, which is not planned", fix=fix)


def weight_bytes(model: Any, wide: int, linear: float) -> int:
    """Return the bytes of all weights: four for one that learns, `linear` for one of the base model's linear layers,
    `wide` for another."""
    head = model.get_output_embeddings()
    inner = {id(m.weight) for m in model.modules() if isinstance(m, nn.Linear) and m is not head}
    sizes = ((p, linear if id(p) in inner else wide) for p in model.parameters())
    return round(sum(p.numel() * (4 if p.requires_grad else size) for p, size in sizes))


def shapes(config: BackboneConfig) -> Backbone:
    """Return the model of a configuration, with what it learns and without data.

    Raises:
        UserError: there is no such model, or its files have never been fetched.
    """
    from transformers import AutoModelForCausalLM

    register()
    dtype = torch.float32 if config.dtype == "float32" else torch.bfloat16
    about, tokenizer = open_tokenizer(config.model, config.on_hub())
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(about, dtype=dtype)
    plain = replace(config, attn_implementation="plain")
    return Backbone(model, tokenizer, plain, Choice("plain", False, False)).to(dtype)


def pass_over(model: nn.Module, tokens: int) -> tuple[int, int]:
    """Return (bytes that a forward pass over one row stores for the backward pass, operations of both passes).

    Keys and values that several heads share are counted for each head, so the bytes are a few percent too many.
    """
    from torch.utils.flop_counter import FlopCounterMode

    own = {p.untyped_storage()._cdata for p in model.parameters()}
    stored: dict[int, tuple[int, Tensor]] = {}  # the tensors are kept, so that no storage gets another's number

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            stored[storage._cdata] = storage.nbytes(), tensor
        return tensor

    ids = torch.zeros(1, tokens, dtype=torch.long, device="meta")
    mask = torch.zeros(1, 1, 1, 1, device="meta")  # in four dimensions, so that transformers makes none
    model.set_attn_implementation(ATTENTION)  # type: ignore[operator]
    with FlopCounterMode(display=False) as counter:
        with torch.autograd.graph.saved_tensors_hooks(pack, _same):
            out = model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=1)
            loss = out.logits.float().logsumexp(-1).sum()
        loss.backward()
    return sum(count for count, _ in stored.values()), counter.get_total_flops()


def _same(tensor: Tensor) -> Tensor:
    return tensor


def matmul_rate(dtype: str) -> float:
    """Return the operations in a second of a matrix product on this CPU."""
    kind = torch.float32 if dtype == "float32" else torch.bfloat16
    states, weight = torch.ones(1024, 576, dtype=kind), torch.ones(1536, 576, dtype=kind)
    run: Callable[[], Tensor] = lambda: nn.functional.linear(states, weight)  # noqa: E731
    return 2 * 1024 * 576 * 1536 / least_seconds(run, 5)


def register() -> None:
    """Make an attention known to transformers that runs without data: causal, its queries' and keys' products never
    stored."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, _attention)


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Any, scaling: float | None = None, **more: Any
) -> tuple[Tensor, None]:
    groups = query.shape[1] // key.shape[1]
    key, value = (t.repeat_interleave(groups, 1) if groups > 1 else t for t in (key, value))
    flash = torch.ops.aten._scaled_dot_product_flash_attention
    return flash(query, key, value, 0.0, True, False, scale=scaling)[0].transpose(1, 2), None
