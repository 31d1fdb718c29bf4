"""Optimiser states and gradients lie in parts over the processes (ZeRO-1 and ZeRO-2), the model too (ZeRO-3), by
DeepSpeed (Rajbhandari et al. 2020, arXiv 1910.02054).

`configs/accelerate/deepspeed_zero3.yaml` sets the environment that is read here. DeepSpeed is called by us rather than
by Accelerate, which would take a step after each backward pass. Its own step divides by a loss scale: the step's weight
is given as that, since it is known only after the last pass. Checkpoints hold whole tensors, as those of other engines
do, so that another engine, or another number of processes, may continue.
"""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from metaicl.methods.base import Method
from metaicl.methods.gradient.base import GradientMethod
from metaicl.training.engines import fsdp2
from metaicl.training.engines.engine import Engine, OptimizerState
from task_suites.core.errors import UserError

STATES = ("exp_avg", "exp_avg_sq")  # of AdamW, for each weight


class Zero(Engine):
    """The engine of DeepSpeed."""

    in_step = True  # gradients are added up over the processes after each pass

    def prepared(self) -> tuple[Any, Any]:
        self.stage = stage()
        if self.config.optim != "adamw":
            raise UserError("DeepSpeed runs with optim adamw only", found=self.config.optim, fix="Leave --optim out.")
        fsdp2.refuse(self.method, refusal(self.method, self.stage))
        if self.stage == 3:
            self.method.backbone.head = None  # our own output head reads weights that ZeRO-3 has freed
        try:
            import deepspeed
        except ImportError:
            fix = 'Install it: pip install "metaicl[deepspeed]", or launch with configs/accelerate/fsdp2.yaml.'
            raise UserError("the launch is of DeepSpeed, which is not installed", fix=fix) from None
        logging.getLogger("DeepSpeed").setLevel(logging.WARNING)  # it reports each step's loss scale
        deepspeed.init_distributed(dist_backend=dist.get_backend())
        engine, optimizer, _, _ = deepspeed.initialize(
            model=self.method, optimizer=self.new_optimizer(), config=self._options(), dist_init_required=False
        )
        return engine, optimizer

    def _options(self) -> dict[str, Any]:
        return {
            "train_micro_batch_size_per_gpu": 1,
            "gradient_accumulation_steps": 1,  # a step's last pass is named instead (`backward`)
            "gradient_clipping": self.config.max_grad_norm,
            "zero_allow_untested_optimizer": True,
            "zero_optimization": {"stage": self.stage, "stage3_param_persistence_threshold": 0},
        }

    # -- a step --------------------------------------------------------------------------------------------------

    def adding(self, last: bool) -> AbstractContextManager[Any]:
        return _without_advice()

    def backward(self, loss: Tensor, last: bool) -> None:
        self.wrapped.set_gradient_accumulation_boundary(last)
        self.wrapped.backward(loss)

    def step(self, factor: float, rate: float) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.override_loss_scale(1 / factor)
        with _without_advice():
            self.wrapped.step()
        self.optimizer.override_loss_scale(1.0)
        return math.inf if self.optimizer.overflow else float(self.wrapped.get_global_grad_norm())

    # -- the state -----------------------------------------------------------------------------------------------

    def held(self) -> dict[str, Tensor]:
        return {name: getattr(p, "ds_tensor", p) for name, p in self.method.learned().items()}

    def shapes(self) -> dict[str, Tensor]:
        weights: Mapping[str, Any] = self.method.learned()
        sizes = {name: getattr(p, "ds_shape", p.shape) for name, p in weights.items()}
        return {name: torch.empty(size, dtype=weights[name].dtype, device="meta") for name, size in sizes.items()}

    def whole(self, held: Mapping[str, Tensor]) -> dict[str, Tensor]:
        weights = self.method.learned()
        return {name: _joined(value, weights[name]) for name, value in held.items()}

    def cut(self, whole: Mapping[str, Tensor]) -> dict[str, Tensor]:
        weights = self.method.learned()
        return {name: _part(value.to(self.accelerator.device), weights[name]) for name, value in whole.items()}

    def put(self, whole: Mapping[str, Tensor]) -> None:
        from deepspeed.utils import safe_set_full_fp32_param

        super().put(whole)
        for name, weight in self.method.learned().items():
            safe_set_full_fp32_param(weight, whole[name].to(self.accelerator.device, torch.float32))

    def optimizer_state(self) -> OptimizerState:
        from deepspeed.utils import safe_get_full_optimizer_state

        learned = list(self.method.learned().values())
        steps = next(iter(self.optimizer.optimizer.state.values()))["step"]
        entries = {
            n: {"step": steps, **{key: safe_get_full_optimizer_state(p, key) for key in STATES}}
            for n, p in enumerate(learned)
        }
        options = {key: value for key, value in self.optimizer.param_groups[0].items() if key != "params"}
        return {"state": entries, "param_groups": [{**options, "params": list(range(len(learned)))}]}

    def load_optimizer_state(self, state: OptimizerState, backward: Callable[[], object]) -> None:
        from deepspeed.utils import safe_set_full_optimizer_state

        backward()
        self.step(1.0, 0.0)  # at rate 0: DeepSpeed makes the state, and the way to it, in its first step
        for n, p in enumerate(self.method.learned().values()):
            for key in STATES:
                safe_set_full_optimizer_state(p, state["state"][n][key].to(self.accelerator.device), key)
        for entry in self.optimizer.optimizer.state.values():
            entry["step"] = state["state"][0]["step"].clone()

    # -- saving --------------------------------------------------------------------------------------------------

    @contextmanager
    def saving(self) -> Iterator[None]:
        apart = [] if self.method.backbone.config.weights == "full" else list(self.method.learned().values())
        with self._gathered(apart):
            yield

    def model_state(self) -> dict[str, Tensor] | None:
        if self.stage < 3 or self.method.backbone.config.weights != "full":
            return None
        gathered: dict[int, Tensor] = {}  # weights that share one tensor still do
        state = self.method.backbone.model.state_dict(keep_vars=True)
        for value in state.values():
            if id(value) not in gathered:
                with self._gathered([value]):
                    gathered[id(value)] = value.detach().cpu().clone()
        return {name: gathered[id(value)] for name, value in state.items()}

    def load(self, folder: Path) -> None:
        with self._gathered(list(self.method.parameters()), changed=True):
            super().load(folder)

    def _gathered(self, weights: Sequence[Tensor], changed: bool = False) -> AbstractContextManager[Any]:
        """Return a context in which weights are whole in each process. Where they change, the first one's count."""
        if self.stage < 3 or not weights:
            return nullcontext()
        import deepspeed

        context: AbstractContextManager[Any] = deepspeed.zero.GatheredParameters(weights, 0 if changed else None)
        return context


@contextmanager
def _without_advice() -> Iterator[None]:
    """Return a context without PyTorch's advice, in each pass, to use newer names of its collectives."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.distributed\.", FutureWarning)
        yield


def stage() -> int:
    """Return the stage of ZeRO that the launch names."""
    return int(os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2"))


def refusal(method: Method, stage: int) -> str | None:
    """Return why a method cannot be trained under a stage of ZeRO, or None where it can."""
    if any(p.dim() == 0 for p in method.parameters()):
        return "it learns a single number, which DeepSpeed does not take"
    if stage < 3:
        return None
    if isinstance(method, GradientMethod):
        return "its inner loop replaces weights that lie in parts; choose zero_stage: 2"
    return fsdp2.refusal(method)


def _joined(part: Tensor, weight: Any) -> Tensor:
    """Return the whole tensor of which this process holds a part, as it does of a weight."""
    if not hasattr(weight, "ds_tensor"):
        return part
    parts = [torch.empty_like(part) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, part.contiguous())
    return torch.cat(parts)[: weight.ds_numel].view(weight.ds_shape)


def _part(value: Tensor, weight: Any) -> Tensor:
    """Return this process's part of a whole tensor, filled up with zeros to the size of the part of a weight."""
    if not hasattr(weight, "ds_tensor"):
        return value
    count = weight.ds_tensor.numel()
    flat = torch.nn.functional.pad(value.flatten(), (0, count * dist.get_world_size() - value.numel()))
    return flat.narrow(0, count * dist.get_rank(), count)
