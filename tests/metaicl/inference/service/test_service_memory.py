"""What a fitted task holds, counted by following what it refers to."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from metaicl.inference.service.memory import LEAST, held_bytes


class Slotted:
    __slots__ = ("kept", "unset")

    def __init__(self, kept: object):
        self.kept = kept

    def method(self) -> None: ...


def closed_over(value: object):
    return lambda: value


ARRAY = np.zeros(100)
WAYS = {
    "itself": lambda value: value,
    "list in a dictionary": lambda value: {"a": [value]},
    "attribute": lambda value: SimpleNamespace(of=value),
    "slot": Slotted,
    "method of an object": lambda value: Slotted(value).method,
    "partial": lambda value: partial(print, value, end=value),
    "closure": closed_over,
}


@pytest.mark.parametrize("way", WAYS)
def test_what_can_be_reached_counts_once(way):
    made = WAYS[way](ARRAY)
    assert held_bytes([made, made]) == LEAST + ARRAY.nbytes


def test_tensors_and_arrays_that_share_memory_count_it_once_and_whole():
    tensor, array = torch.zeros(1000), np.zeros((10, 10))
    assert held_bytes([tensor[:3], tensor[5:], tensor]) == LEAST + 4000
    assert held_bytes([array[0], array[1:], array.T]) == LEAST + array.nbytes


def test_what_goes_round_in_a_circle_ends():
    one: dict = {"array": ARRAY}
    one["self"] = one
    assert held_bytes(one) == LEAST + ARRAY.nbytes


def test_what_belongs_to_the_model_counts_nothing():
    model = torch.nn.Linear(50, 50)
    state = SimpleNamespace(model=model, weight=model.weight.detach()[:2], own=torch.zeros(10))
    assert held_bytes(state, (model,)) == LEAST + 40
    assert held_bytes(state) > LEAST + 4 * 50 * 50
