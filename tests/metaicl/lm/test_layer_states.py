"""The states at a layer are those of the whole pass, and no layer above it runs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from metaicl.lm.layer_states import states_at


class Doubling(nn.Module):
    """A layer that doubles its input and counts its runs; `as_tuple` as older models' layers give it."""

    def __init__(self, as_tuple: bool):
        super().__init__()
        self.as_tuple, self.runs = as_tuple, 0

    def forward(self, hidden_states: torch.Tensor) -> object:
        self.runs += 1
        return (2 * hidden_states, None) if self.as_tuple else 2 * hidden_states


def passed(layers: list[Doubling], by_name: bool) -> None:
    states = torch.ones(1, 3)
    for layer in layers:
        found = layer(hidden_states=states) if by_name else layer(states)
        states = found[0] if isinstance(found, tuple) else found


@pytest.mark.parametrize("as_tuple", [False, True])
@pytest.mark.parametrize("by_name", [False, True])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_the_pass_ends_at_the_layer(layer, as_tuple, by_name):
    layers = [Doubling(as_tuple) for _ in range(3)]
    found = states_at(layers, layer, lambda: passed(layers, by_name))
    assert torch.equal(found, torch.full((1, 3), 2.0**layer))
    assert [of.runs for of in layers] == [1] * layer + [0] * (3 - layer)


def test_a_later_pass_runs_to_its_end_also_after_an_error():
    layers = [Doubling(False), Doubling(False)]
    states_at(layers, 1, lambda: passed(layers, False))
    with pytest.raises(KeyError):
        states_at(layers, 1, lambda: {}["broken"])
    passed(layers, False)
    assert [of.runs for of in layers] == [2, 1]


def test_a_pass_that_leaves_the_layer_out_is_a_bug():
    layers = [Doubling(False), Doubling(False)]
    with pytest.raises(AssertionError, match="does not go through its layer 1"):
        states_at(layers, 1, lambda: None)
