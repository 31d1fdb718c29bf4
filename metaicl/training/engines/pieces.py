"""Tensors that lie in parts over the processes, as FSDP2 leaves them (PyTorch's DTensor), and whole ones."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def in_parts(tensor: Tensor) -> bool:
    """Return whether each process holds a part of a tensor."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor gathered from all processes, which all have to call this; one that is whole is returned as it
    is."""
    return tensor.full_tensor() if in_parts(tensor) else tensor  # type: ignore[attr-defined, no-any-return]


def like(value: Tensor, weight: Tensor) -> Tensor:
    """Return a whole tensor as `weight` lies in this process: on its device, in parts where it is."""
    if not in_parts(weight):
        return value.to(weight.device)
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(weight, DTensor)
    value = value.to(weight.device)
    return distribute_tensor(value, weight.device_mesh, weight.placements, src_data_rank=None)


def put_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put whole tensors into a model whose weights may lie in parts."""
    own = model.state_dict(keep_vars=True)
    with torch.no_grad():
        for name, value in state.items():
            own[name].copy_(like(value, own[name]))
