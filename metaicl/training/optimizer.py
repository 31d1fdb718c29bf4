"""The optimiser of the outer loop."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from metaicl.training.config import TrainerConfig
from task_suites.core.errors import UserError


def make_optimizer(learned: Sequence[Tensor], config: TrainerConfig) -> torch.optim.Optimizer:
    """Return AdamW over the learned weights: PyTorch's, or that of bitsandbytes with states of 8 bits (Dettmers et al.
    2022, arXiv 2110.02861).

    Raises:
        UserError: `optim` is adamw_8bit, and bitsandbytes is not installed.
    """
    betas = (0.9, config.adam_beta2)
    if config.optim == "adamw":
        return torch.optim.AdamW(
            learned, lr=config.learning_rate, betas=betas, weight_decay=config.weight_decay, fused=True
        )
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError:
        fix = (
            'Install it: pip install "metaicl[bitsandbytes]", or set optim to adamw, which needs four times the memory.'
        )
        raise UserError("optim is adamw_8bit, but bitsandbytes is not installed", fix=fix) from None
    optimizer: torch.optim.Optimizer = AdamW8bit(
        learned, lr=config.learning_rate, betas=betas, weight_decay=config.weight_decay
    )
    return optimizer
