"""The model's weights lie in parts over the processes, by PyTorch's FSDP2.

`configs/accelerate/fsdp2.yaml` sets the environment that is read here; Accelerate itself shards nothing, because it
would shard what a method adapts. With adapters the frozen base is sharded, layer by layer, and the adapters lie whole
in each process, where inner loops replace them by a task's own. With `full` weights all are sharded.

A layer's weights are gathered by all processes at once, so that each process has to go through the model as often as
the others, in the same order. `Rows` sees to that, and methods that cannot are refused (`refusal`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from metaicl.methods.base import Method
from metaicl.methods.gradient.base import GradientMethod
from metaicl.methods.in_context.icl import InContext
from metaicl.training.engines.engine import Engine, OptimizerState
from metaicl.training.engines.pieces import in_parts, like, whole
from task_suites.core.errors import UserError


class FSDP2(Engine):
    """The engine of a model in parts."""

    in_step = True

    def prepared(self) -> tuple[Any, Any]:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        refuse(self.method, refusal(self.method))
        backbone, free = self.method.backbone, os.environ.get("FSDP_RESHARD_AFTER_FORWARD", "true") == "true"
        apart = set() if backbone.config.weights == "full" else set(backbone.trainable().values())
        mesh = init_device_mesh(backbone.device.type, (dist.get_world_size(),))
        for layer in backbone.lower.layers:
            fully_shard(layer, mesh=mesh, reshard_after_forward=free, ignored_params=apart)
        fully_shard(backbone.model, mesh=mesh, ignored_params=apart)
        return self.method, self.new_optimizer()

    def scaled(self, factor: float) -> float:
        self._average()
        learned = list(self.method.learned().values())
        for p in learned:
            if p.grad is not None:
                p.grad.mul_(factor)
        return float(whole(nn.utils.clip_grad_norm_(learned, self.config.max_grad_norm)))

    def _average(self) -> None:
        """Average the gradients of weights that lie whole in each process; FSDP2 has averaged the others."""
        apart = [p for p in self.method.learned().values() if not in_parts(p)]
        if not apart:
            return
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in apart])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        for p, grad in zip(apart, flat.split([p.numel() for p in apart]), strict=True):
            p.grad = grad.view_as(p)

    def whole(self, held: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: whole(value) for name, value in held.items()}

    def cut(self, whole: Mapping[str, Tensor]) -> dict[str, Tensor]:
        weights = self.method.learned()
        return {name: like(value, weights[name]) for name, value in whole.items()}

    def optimizer_state(self) -> OptimizerState:
        state = self.optimizer.state_dict()
        entries = {n: {key: whole(value) for key, value in one.items()} for n, one in state["state"].items()}
        return {**state, "state": entries}

    def load_optimizer_state(self, state: OptimizerState, backward: object) -> None:
        weights = [p for group in self.optimizer.param_groups for p in group["params"]]

        def held(value: Any, weight: Tensor) -> Any:
            of_weight = isinstance(value, Tensor) and value.shape == weight.shape and value.dim() > 0
            return like(value, weight) if of_weight else value

        entries = {n: {key: held(value, weights[n]) for key, value in one.items()} for n, one in state["state"].items()}
        self.optimizer.load_state_dict({**state, "state": entries})

    def model_state(self) -> dict[str, Tensor] | None:
        if self.method.backbone.config.weights != "full":
            return None
        gathered: dict[int, Tensor] = {}  # weights that share one tensor still do
        state: Mapping[str, Any] = self.method.backbone.model.state_dict(keep_vars=True)
        for value in state.values():
            if id(value) not in gathered:
                gathered[id(value)] = whole(value.detach()).cpu()
        return {name: gathered[id(value)] for name, value in state.items()}


def refuse(method: Method, reason: str | None) -> None:
    """Refuse a method for this reason, where there is one.

    Raises:
        UserError: there is one.
    """
    if reason:
        fix = "Launch with configs/accelerate/multi_gpu.yaml, where each GPU has the whole model."
        raise UserError(f"{type(method).__name__} is not trained on a sharded model: {reason}", fix=fix)


def refusal(method: Method) -> str | None:
    """Return why a method cannot be trained on a sharded model, or None where it can."""
    full = method.backbone.config.weights == "full"
    if isinstance(method, GradientMethod):
        if method.config.order == 2:
            return "second derivatives need a layer's weights again after FSDP2 has freed them"
        if full:
            return "its inner loop replaces weights that FSDP2 would put back; adapters stay whole, so use weights lora"
        return None
    if not isinstance(method, InContext):
        return "its passes through the model end early, or differ in number between processes"
    if full and method.own_state():
        return "it learns weights of its own beside the model's"
    if method.backbone.attention == "plain":
        return "without tree attention its passes differ in number between processes"
    return None
