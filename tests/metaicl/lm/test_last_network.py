"""The last layer's network runs at some positions only where it takes and gives one row of hidden states, no more."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from metaicl.lm.last_network import LastNetwork
from metaicl.lm.refused import Refused

PLACES = torch.tensor([1, 3])


class Layer(nn.Module):
    """A decoder layer that calls its network in some way."""

    def __init__(self, call: Any):
        super().__init__()
        self.mlp, self.call = Network(), call

    def forward(self, states: Tensor) -> Any:
        return self.call(self.mlp, states)


class Network(nn.Module):
    """It doubles; with a residual it adds that, and with router's scores it gives a pair."""

    def forward(self, states: Tensor, residual: Tensor | None = None, scores: bool = False) -> Any:
        out = 2 * states if residual is None else 2 * states + residual
        return (out, out.mean()) if scores else out


def test_a_network_of_one_row_gives_zeros_where_nothing_is_asked():
    states = torch.randn(1, 5, 4)
    layers = nn.ModuleList([Layer(lambda mlp, x: mlp(x))])
    with LastNetwork(layers).at(PLACES):
        found = layers[0](states)
    expected = torch.zeros_like(states)
    expected[:, PLACES] = 2 * states[:, PLACES]
    assert torch.equal(found, expected)
    assert torch.equal(layers[0](states), 2 * states)


@pytest.mark.parametrize(
    "call",
    [
        lambda mlp, x: mlp(x, x),
        lambda mlp, x: mlp(x, residual=x),
        lambda mlp, x: mlp(states=x),
        lambda mlp, x: mlp(x[0]),
        lambda mlp, x: mlp(x, scores=True),
    ],
    ids=["a residual", "a residual by name", "states by name", "no batch", "a flag"],
)
def test_a_network_that_takes_anything_else_is_refused_and_left_as_it_was(call):
    states = torch.randn(1, 5, 4)
    layers = nn.ModuleList([Layer(call)])
    with pytest.raises(Refused, match="something else than a row"), LastNetwork(layers).at(PLACES):
        layers[0](states)
    layers[0](states)
    assert not layers[0].mlp._forward_pre_hooks and not layers[0].mlp._forward_hooks


def test_a_network_that_gives_more_than_a_row_is_refused():
    class Pair(Network):
        def forward(self, states: Tensor) -> Any:
            return states, states.mean()

    layers = nn.ModuleList([Layer(lambda mlp, x: mlp(x)[0])])
    layers[0].mlp = Pair()
    with pytest.raises(Refused, match="gives tuple"), LastNetwork(layers).at(PLACES):
        layers[0](torch.randn(1, 5, 4))
