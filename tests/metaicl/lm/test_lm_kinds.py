"""The kind of a model is known from its name, and each kind opens as its own class."""

from __future__ import annotations

import pytest
import torch
from backbones import tiny_config

from metaicl.lm import models
from metaicl.lm.backbone import Backbone
from metaicl.lm.encoder import Encoder
from metaicl.lm.kinds import load_backbone


@pytest.mark.parametrize(
    ("name", "kind"),
    [("smollm2-135m", "causal"), ("minilm-l6", "encoder"), ("tiny-random", "causal"), ("tiny-encoder", "encoder")],
)
def test_the_kind_of_a_model_is_known_from_its_name(name, kind):
    assert models.kind_of(name) == kind


@pytest.mark.parametrize(("name", "cls"), [("tiny-random", Backbone), ("tiny-encoder", Encoder)])
def test_a_name_opens_as_the_class_of_its_kind(name, cls):
    backbone = load_backbone(tiny_config(model=name, weights="frozen"))
    assert type(backbone) is cls
    assert not any(p.requires_grad for p in backbone.parameters())


def test_the_seed_is_that_of_new_adapters():
    first = [next(iter(load_backbone(tiny_config(), seed).trainable().values())) for seed in (3, 3, 4)]
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])
