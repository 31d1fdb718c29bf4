"""Particles, and gradients of a loss in a method's learned weights."""

from __future__ import annotations

import torch
from backbones import double_backbone

from metaicl.methods.bayesian.platipus import PLATIPUS
from task_suites.formats.prompt_format import PromptFormat


def platipus(**options) -> PLATIPUS:
    return PLATIPUS(
        double_backbone(),
        PromptFormat(),
        PLATIPUS.Config(**{"test_steps": None, "inner_steps": 2, "inner_lr": 0.3, **options}),
    ).double()


def gradients(loss: torch.Tensor, method: torch.nn.Module) -> torch.Tensor:
    found = torch.autograd.grad(loss, list(method.backbone.trainable().values()))
    return torch.cat([g.flatten() for g in found])


def points(count: int, width: int = 6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Particles and gradients `[count, width]`."""
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(2, count, width, generator=generator, dtype=torch.float64)
    return first, second
