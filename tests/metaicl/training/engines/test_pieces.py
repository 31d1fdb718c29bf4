"""Tensors in parts and whole ones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from metaicl.training.engines.pieces import in_parts, like, put_state, whole


@pytest.fixture
def mesh() -> Iterator[object]:
    """One process that is a group by itself."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


def test_a_tensor_is_put_into_parts_and_gathered_again(mesh):
    value = torch.arange(12.0).view(4, 3)
    parts = distribute_tensor(torch.zeros(4, 3), mesh, [Shard(0)])
    assert in_parts(parts) and not in_parts(value)
    found = like(value, parts)
    assert in_parts(found) and found.placements == parts.placements
    assert torch.equal(whole(found), value)
    assert whole(value) is value and torch.equal(like(value, torch.zeros(4, 3)), value)


def test_a_state_is_put_into_a_model_in_parts(mesh):
    model = torch.nn.Linear(3, 4)
    state = {name: torch.full_like(p, 2.0) for name, p in model.state_dict().items()}
    model.weight = torch.nn.Parameter(distribute_tensor(model.weight.detach(), mesh, [Shard(0)]))
    put_state(model, state)
    assert all(torch.equal(whole(p.detach()), state[name]) for name, p in model.named_parameters())
