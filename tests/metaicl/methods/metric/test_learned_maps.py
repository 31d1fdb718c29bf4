"""Learned maps begin the same whatever was drawn before."""

from __future__ import annotations

import torch
from torch import nn

from metaicl.methods.metric.learned_maps import identity_map, initial_weights


def test_a_map_that_learned_nothing_leaves_vectors_as_they_are():
    vectors = torch.randn(3, 5)
    assert torch.equal(identity_map(5)(vectors), vectors)


def made(name: str) -> torch.Tensor:
    with initial_weights(name):
        return nn.Linear(4, 4).weight


def test_initial_weights_are_a_function_of_the_name_only():
    first = made("one")
    torch.randn(7)
    assert torch.equal(made("one"), first) and not torch.equal(made("two"), first)


def test_drawing_them_leaves_the_global_generator_as_it_was():
    before = torch.get_rng_state()
    made("one")
    assert torch.equal(torch.get_rng_state(), before)
