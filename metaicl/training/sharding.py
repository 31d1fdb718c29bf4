"""The model's weights sharded over processes by PyTorch's FSDP2, where the launch says so.

`configs/accelerate/fsdp2.yaml` sets the environment that is read here; Accelerate itself shards nothing, because it
would shard what a method adapts. With adapters the frozen base is sharded, layer by layer, and the adapters lie whole
in each process, where inner loops replace them by a task's own. With `full` weights all are sharded.

A layer's weights are gathered by all processes at once, so that each process has to go through the model as often as
the others, in the same order. `Rows` sees to that, and methods that cannot are refused (`refusal`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from metaicl.methods.base import Method
from metaicl.methods.gradient.base import GradientMethod
from metaicl.methods.in_context.icl import InContext
from task_suites.core.errors import UserError

VARIABLE = "ACCELERATE_USE_FSDP"  # set by `accelerate launch` from the file
OTHERWISE = "Launch with configs/accelerate/multi_gpu.yaml, where each GPU has the whole model."


def wanted() -> bool:
    """Return whether this process was launched to shard the model.

    Raises:
        UserError: by an engine that metaicl does not run, or an older FSDP.
    """
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false") == "true":
        fix = "Launch with configs/accelerate/fsdp2.yaml, which shards as ZeRO-3 does."
        raise UserError(
            "metaicl train does not run on DeepSpeed, which scales and applies gradients by itself", fix=fix
        )
    if os.environ.get(VARIABLE, "false") != "true":
        return False
    if (version := os.environ.get("FSDP_VERSION", "1")) != "2":
        fix = "Set fsdp_version: 2, as configs/accelerate/fsdp2.yaml has it."
        raise UserError("metaicl train shards by FSDP2", found=f"fsdp_version {version}", fix=fix)
    return True


@contextmanager
def not_by_accelerate() -> Iterator[None]:
    """Return a context in which Accelerate does not see that the model is to be sharded."""
    before = os.environ.pop(VARIABLE, None)
    try:
        yield
    finally:
        if before is not None:
            os.environ[VARIABLE] = before


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


def shard(method: Method) -> None:
    """Shard the model of a method over all processes; the method itself is changed.

    Raises:
        UserError: the method cannot be trained so.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    if reason := refusal(method):
        raise UserError(f"{type(method).__name__} is not trained on a sharded model: {reason}", fix=OTHERWISE)
    backbone, free = method.backbone, os.environ.get("FSDP_RESHARD_AFTER_FORWARD", "true") == "true"
    whole = set() if backbone.config.weights == "full" else set(backbone.trainable().values())
    mesh = init_device_mesh(backbone.device.type, (dist.get_world_size(),))
    for layer in backbone.lower.layers:
        fully_shard(layer, mesh=mesh, reshard_after_forward=free, ignored_params=whole)
    fully_shard(backbone.model, mesh=mesh, ignored_params=whole)


def average_gradients(learned: Sequence[nn.Parameter]) -> None:
    """Replace the gradients of weights that lie whole in each process by their mean; FSDP2 has averaged the others."""
    apart = [p for p in learned if not _is_sharded(p)]
    if not apart:
        return
    flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in apart])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for p, grad in zip(apart, flat.split([p.numel() for p in apart]), strict=True):
        p.grad = grad.view_as(p)


def clip_gradients(learned: Sequence[nn.Parameter], most: float) -> float:
    """Scale gradients of a larger norm down to it; return the norm that they had, over all processes."""
    norm = nn.utils.clip_grad_norm_(learned, most)
    return float(whole(norm))


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor gathered from all processes, which all have to call this; one that is whole is returned as it
    is."""
    return tensor.full_tensor() if _is_sharded(tensor) else tensor  # type: ignore[attr-defined, no-any-return]


def like(value: Tensor, weight: Tensor) -> Tensor:
    """Return a whole tensor as `weight` lies in this process: on its device, sharded where it is."""
    if not _is_sharded(weight):
        return value.to(weight.device)
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(weight, DTensor)
    value = value.to(weight.device)
    return distribute_tensor(value, weight.device_mesh, weight.placements, src_data_rank=None)


def whole_weights(method: Method) -> dict[str, Tensor] | None:
    """Return the state dict of a method's model with whole tensors on the CPU; weights that share one tensor still do.
    None where the model's own weights are not learned."""
    if method.backbone.config.weights != "full":
        return None
    gathered: dict[int, Tensor] = {}
    state: Mapping[str, Any] = method.backbone.model.state_dict(keep_vars=True)
    for value in state.values():
        if id(value) not in gathered:
            gathered[id(value)] = whole(value.detach()).cpu()
    return {name: gathered[id(value)] for name, value in state.items()}


def put_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put whole tensors into a model whose weights may be sharded."""
    own = model.state_dict(keep_vars=True)
    with torch.no_grad():
        for name, value in state.items():
            own[name].copy_(like(value, own[name]))


def _is_sharded(tensor: Tensor) -> bool:
    return hasattr(tensor, "full_tensor")
