"""Backbones made in code: a two-layer random model, and one all in float64."""

from __future__ import annotations

import copy
import os
from collections.abc import Hashable
from functools import cache

import torch

from metaicl.lm.backbone import Backbone
from metaicl.lm.config import BackboneConfig
from metaicl.lm.encoder import Encoder
from metaicl.lm.tiny import tiny_tokenizer

TEST_DEVICE = os.environ.get("METAICL_TEST_DEVICE", "cpu")


def tiny_config(**changes: object) -> BackboneConfig:
    settings: dict = {"model": "tiny-random", "dtype": "float32", "device": TEST_DEVICE, "lora_r": 4, **changes}
    return BackboneConfig(**settings)


@cache
def _frozen() -> Backbone:
    return Backbone.load(tiny_config(weights="frozen"))


@cache
def _learnable() -> Backbone:
    return _built_learnable()


def make_frozen() -> Backbone:
    """Return a frozen tiny backbone of the caller's own. A copy of one that is built once: building takes several times
    as long."""
    return copy.deepcopy(_frozen())


@cache
def _encoder() -> Encoder:
    return Encoder.load(tiny_config(model="tiny-encoder"))


def make_encoder() -> Encoder:
    """A tiny sentence encoder of the caller's own."""
    return copy.deepcopy(_encoder())


def make_learnable(**changes: object) -> Backbone:
    """Return a tiny backbone of the caller's own, with LoRA weights that differ from zero."""
    return _built_learnable(**changes) if changes else copy.deepcopy(_learnable())


def _built_learnable(**changes: object) -> Backbone:
    backbone = Backbone.load(tiny_config(**{"weights": "lora", "lora_alpha": 32, **changes}))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in backbone.trainable().values():
            p.add_(0.02 * torch.randn(p.shape, generator=generator).to(p.device))
    return backbone


def double_backbone(layers: int = 2, **changes: Hashable) -> Backbone:
    """Return a tiny GPT-2 of the caller's own, with LoRA weights that are not zero, all in float64 (Llama's norms go
    through float32)."""
    if changes.get("gradient_checkpointing"):  # a copy's checkpoints would run the layers of the first one again
        return _built_double.__wrapped__(layers, **changes)
    return copy.deepcopy(_built_double(layers, **changes))


@cache
def _built_double(layers: int, **changes: Hashable) -> Backbone:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = tiny_config(lora_r=2, lora_alpha=2, target_modules="query-value", lora_layers=1, **changes)
    shape = {"vocab_size": 257, "n_embd": 16, "n_layer": layers, "n_head": 2, "bos_token_id": 0, "eos_token_id": 0}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GPT2LMHeadModel(GPT2Config(**shape, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0))
        backbone = Backbone(model, tiny_tokenizer(), config)
    backbone.model.double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in backbone.trainable().values():
            p.add_(0.3 * torch.randn(p.shape, generator=generator))
    return backbone
