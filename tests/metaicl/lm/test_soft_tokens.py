"""Soft tokens stand in for a row's first embeddings, and only within their context."""

from __future__ import annotations

import pytest
import torch

from metaicl.lm.soft_tokens import soft_tokens

IDS = torch.tensor([[4, 2, 0, 1]])


@pytest.fixture
def embedding() -> torch.nn.Embedding:
    return torch.nn.Embedding(5, 3, dtype=torch.float64)


@pytest.mark.parametrize("count", [0, 1, 4])
def test_the_first_embeddings_are_the_vectors_and_the_others_their_tokens_own(embedding, count):
    vectors = torch.arange(3.0 * count).reshape(count, 3)
    with soft_tokens(embedding, vectors):
        found = embedding(IDS)[0]
    assert torch.equal(found[:count], vectors.double())
    assert torch.equal(found[count:], embedding.weight[IDS[0, count:]])


def test_gradients_reach_the_vectors_and_not_the_tokens_that_they_stand_for(embedding):
    vectors = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    with soft_tokens(embedding, vectors):
        embedding(IDS).sum().backward()
    assert torch.equal(vectors.grad, torch.ones(2, 3, dtype=torch.float64))
    assert embedding.weight.grad.sum(1).tolist() == [3, 3, 0, 0, 0]


def test_the_embedding_is_its_own_again_also_after_an_error(embedding):
    with pytest.raises(KeyError), soft_tokens(embedding, torch.zeros(1, 3)):
        raise KeyError
    assert torch.equal(embedding(IDS), embedding.weight[IDS])
