"""Nearest neighbours: one, and as many as there are."""

from __future__ import annotations

import numpy as np
import torch
from backbones import double_backbone
from embedded import FORM, items
from on_toys import TASKS, answers

from metaicl.methods.metric.knn import NearestNeighbours
from metaicl.methods.metric.protonet import ProtoNet
from metaicl.testing import draw
from task_suites.formats.prompt_format import PromptFormat


def test_one_neighbour_is_the_class_of_the_nearest_shot_and_more_than_there_are_are_all(frozen, width):
    shots, labels, queries = items(width=width)
    found = NearestNeighbours(frozen, FORM, NearestNeighbours.Config(neighbours=1)).logits(shots, labels, queries, 3)
    assert found.argmax(1).tolist() == labels[torch.cdist(queries, shots).argmin(1)].tolist()
    votes = (
        NearestNeighbours(frozen, FORM, NearestNeighbours.Config(neighbours=99)).logits(shots, labels, queries, 3).exp()
    )
    inverse = 1 / torch.cdist(queries, shots)
    expected = torch.stack([inverse[:, labels == c].sum(1) for c in range(3)], 1)
    assert torch.allclose(votes, expected / expected.sum(1, keepdim=True), rtol=0, atol=1e-9)


def test_one_shot_prototypes_are_nearest_neighbours():
    method, e = (
        ProtoNet(double_backbone(), PromptFormat(), ProtoNet.Config(scale=1.0)).double(),
        draw(TASKS["options"], k=2),
    )
    with torch.no_grad():
        shots, asked = method.embed(e.support), method.embed(e.queries)
    distances = (asked[:, None] - shots).square().mean(2).numpy()
    found = answers(method, e)
    assert [a.text for a in found] == [e.support[i].output for i in distances.argmin(1)]
    columns = [[d.output for d in e.support].index(option) for option in e.queries[0].options]
    assert np.allclose([a.scores for a in found], -distances[:, columns], rtol=0, atol=1e-12)
