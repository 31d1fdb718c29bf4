"""Relation networks: their loss in closed form, and their special cases."""

from __future__ import annotations

import math

import pytest
import torch
from embedded import items, make
from torch import nn


def test_a_constant_relation_of_one_in_n_costs_n_minus_one_over_n_squared(frozen):
    method = make("relation", frozen)
    for n in (2, 3, 5):
        logits = torch.full((4, n), -math.log(n - 1), dtype=torch.float64)  # sigmoid: 1 / n
        loss = method.loss(logits, torch.tensor([0, 1, 0, 1]))
        assert float(loss) / 4 == pytest.approx((n - 1) / n**2, rel=1e-12)


def test_sum_and_mean_of_shots_agree_at_one_and_differ_by_their_number(frozen, width):
    mean, total = make("relation", frozen), make("relation", frozen, feature="sum")
    shots, labels, queries = items(3, width=width)
    assert torch.equal(mean.logits(shots, labels, queries, 3), total.logits(shots, labels, queries, 3))
    shots, labels, queries = items(7, width=width)
    seen: list[torch.Tensor] = []
    for method in (mean, total):
        method.compared = lambda feature, queries: seen.append(feature) or queries[:, 0]  # type: ignore[method-assign]
        method.logits(shots, labels, queries, 3)
    for c, (one, other) in enumerate(zip(seen[:3], seen[3:], strict=True)):
        assert torch.allclose(other, one * (4, 2, 1)[c], rtol=1e-12, atol=0)


class MinusDistance(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        c, q, _ = x.chunk(3, 1)
        return -0.1 * (c - q).square().sum(1, keepdim=True)


def test_a_relation_that_is_minus_the_distance_ranks_as_prototypes_do(frozen, width):
    method, (shots, labels, queries) = make("relation", frozen), items(width=width)
    method.relation = MinusDistance()
    found = method.logits(shots, labels, queries, 3).argsort(1)
    assert torch.equal(found, make("protonet", frozen).logits(shots, labels, queries, 3).argsort(1))
