"""How what a method learns of vectors begins: the same in every process and at every start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from metaicl.methods.base import seeded


@contextmanager
def initial_weights(name: str) -> Iterator[None]:
    """Return a context in which new modules get weights that are a function of the name, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeded("initial weights", name).initial_seed())
        yield


def identity_map(width: int) -> nn.Linear:
    """Return a linear map to be learned that starts at the identity: untrained, a method works on the vectors as
    they are."""
    linear = nn.Linear(width, width, bias=False)
    nn.init.eye_(linear.weight)  # type: ignore[arg-type]
    return linear
