"""Shared fixtures: a tiny random model made in code, the pulled real model, the folder of real tasks."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch

from metaicl import models
from metaicl.config import BackboneConfig

torch.set_num_threads(1)  # tiny models: a second thread costs more than it brings
REALTASKS = Path(__file__).resolve().parents[2] / "shared" / "data" / "realtasks"


@pytest.fixture(scope="session")
def realtasks() -> Path:
    """The folder of real tasks beside the project, where there is one."""
    if not REALTASKS.is_dir():
        pytest.skip("the folder of real tasks is not here")
    return REALTASKS


@pytest.fixture(scope="session")
def real_model() -> str:
    """The name of the pulled default model."""
    if models.local_folder("smollm2-135m") is None:
        pytest.skip("smollm2-135m is not pulled: metaicl models pull smollm2-135m")
    return "smollm2-135m"


TEST_DEVICE = os.environ.get("METAICL_TEST_DEVICE", "cpu")


def tiny_config(**changes: object) -> BackboneConfig:
    settings: dict = {"name": "tiny-random", "precision": "fp32", "device": TEST_DEVICE, "lora_r": 4, **changes}
    return BackboneConfig(**settings)


@pytest.fixture(scope="session")
def frozen():
    """A frozen tiny backbone in float32; tests do not change it."""
    from metaicl.backbone import Backbone

    return Backbone.load(tiny_config(weights="frozen"))


@pytest.fixture
def learnable():
    """A fresh tiny backbone with LoRA weights that differ from zero, so that they matter."""
    return make_learnable()


def make_learnable(**changes: object):
    from metaicl.backbone import Backbone

    backbone = Backbone.load(tiny_config(**{"weights": "lora", "lora_alpha": 32, **changes}))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in backbone.trainable().values():
            p.add_(0.02 * torch.randn(p.shape, generator=generator).to(p.device))
    return backbone
