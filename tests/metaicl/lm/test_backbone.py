"""A backbone: new adapters, the layers that get them, and the precision that it runs in."""

from __future__ import annotations

import torch
from backbones import tiny_config

from metaicl.lm.backbone import Backbone


def test_adapters_start_the_same_for_the_same_seed():
    one, two, other = (Backbone.load(tiny_config(), seed) for seed in (1, 1, 2))
    pairs = list(zip(one.trainable().values(), two.trainable().values(), strict=True))
    assert all((a == b).all() for a, b in pairs)
    assert any((a != b).any() for a, b in zip(one.trainable().values(), other.trainable().values(), strict=True))


def test_adapters_can_be_kept_to_the_upper_layers():
    upper = Backbone.load(tiny_config(lora_layers=1)).trainable()
    assert upper and all(".layers.1." in name for name in upper)
    assert len(Backbone.load(tiny_config(lora_layers=9)).trainable()) == len(Backbone.load(tiny_config()).trainable())


def test_a_backbone_knows_the_precision_that_auto_became(monkeypatch):
    monkeypatch.setattr("metaicl.lm.devices.precision_for", lambda device: "bfloat16")
    backbone = Backbone.load(tiny_config(dtype="auto", weights="frozen"))
    assert backbone.config.dtype == "bfloat16"
    assert next(backbone.model.parameters()).dtype == torch.bfloat16
