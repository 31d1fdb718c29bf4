"""Matching networks: attention on the shots, its special cases, and the full context."""

from __future__ import annotations

import pytest
import torch
from embedded import items, make, perturb
from torch import nn


@pytest.mark.parametrize("fce", [False, True])
def test_matching_probabilities_are_the_attention_on_each_class_and_sum_to_one(frozen, width, fce):
    method, (shots, labels, queries) = perturb(make("matching", frozen, fce=fce)), items(width=width)
    found = method.logits(shots, labels, queries, 3).exp()
    assert torch.allclose(found.sum(1), torch.ones(4, dtype=torch.float64), rtol=0, atol=1e-12)
    if not fce:
        cosines = nn.functional.cosine_similarity(method.map(queries)[:, None], method.map(shots)[None], dim=2)
        attention = (method.log_scale.exp() * cosines).softmax(1)
        assert torch.allclose(found, attention @ nn.functional.one_hot(labels, 3).double(), rtol=0, atol=1e-12)


def test_a_shot_given_twice_draws_the_attention_of_two(frozen, width):
    method, (shots, labels, queries) = make("matching", frozen, scale=5.0), items(width=width)
    once = method.logits(shots, labels, queries, 3).exp()
    twice = method.logits(torch.cat([shots, shots[1:2]]), torch.cat([labels, labels[1:2]]), queries, 3).exp()
    cosines = nn.functional.cosine_similarity(queries[:, None], shots[None], dim=2)
    weight = (method.log_scale.exp() * cosines).softmax(1)[:, 1]  # the second shot is of class 1
    assert torch.allclose(twice[:, 1], (once[:, 1] + weight) / (1 + weight), rtol=0, atol=1e-12)
    assert torch.allclose(twice[:, 0], once[:, 0] / (1 + weight), rtol=0, atol=1e-12)


def test_matching_by_squared_distance_with_one_shot_is_a_prototypical_network(frozen, width):
    shots, labels, queries = items(3, width=width)
    matching = make("matching", frozen, distance="euclidean", scale=1.0)
    found = matching.logits(shots, labels, queries, 3)
    prototypes = make("protonet", frozen, scale=1.0).logits(shots, labels, queries, 3)
    assert torch.allclose(found, prototypes.log_softmax(1), rtol=0, atol=1e-12)


def test_full_context_starts_near_the_plain_vectors(frozen, width):
    method, (shots, _, queries) = make("matching", frozen, fce=True), items(width=width)
    g, f = method.context(shots, queries)
    for new, old in ((g, shots), (f, queries)):
        assert nn.functional.cosine_similarity(new, old).min() > 0.98
