"""Small training runs."""

from __future__ import annotations

from pathlib import Path

import torch
from backbones import tiny_config
from toys import toy_suite

from metaicl.training.checkpoint import MethodConfig
from metaicl.training.config import TrainerConfig
from metaicl.training.trainer import Trainer
from task_suites.formats.prompt_format import PromptFormat

TASKS = toy_suite().split("meta_train")
CONFIG = TrainerConfig(
    max_steps=4, episodes_per_step=4, k=4, queries=3, learning_rate=5e-3, warmup_steps=1, logging_steps=1
)


def make(folder: Path, name: str = "metaicl", config: TrainerConfig = CONFIG, validate=None, **backbone) -> Trainer:
    method_config = MethodConfig(name, {}, tiny_config(**backbone), PromptFormat())
    return Trainer(method_config.build(), method_config, TASKS, config, folder, validate, progress=False)


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in trainer.method.learned().items()}


def equal(a: dict, b: dict, tolerance: float = 0.0) -> bool:
    assert a.keys() == b.keys()
    return all(torch.allclose(a[n], b[n], atol=tolerance, rtol=0) for n in a)
