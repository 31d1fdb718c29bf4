"""The outer loop's optimiser is the one that the configuration names."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch

from metaicl.training.config import TrainerConfig
from metaicl.training.optimizer import make_optimizer
from task_suites.core.errors import UserError


def learned() -> list[torch.Tensor]:
    return [torch.nn.Parameter(torch.ones(3))]


def test_adamw_is_pytorchs_with_the_given_rates():
    optimizer = make_optimizer(learned(), TrainerConfig(learning_rate=0.5, adam_beta2=0.9, weight_decay=0.1))
    assert isinstance(optimizer, torch.optim.AdamW)
    assert {name: optimizer.defaults[name] for name in ("lr", "betas", "weight_decay")} == {
        "lr": 0.5,
        "betas": (0.9, 0.9),
        "weight_decay": 0.1,
    }


def test_8_bit_adam_is_that_of_bitsandbytes(monkeypatch):
    class AdamW8bit(torch.optim.AdamW):
        pass

    module = ModuleType("bitsandbytes.optim")
    module.AdamW8bit = AdamW8bit  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bitsandbytes", ModuleType("bitsandbytes"))
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", module)
    optimizer = make_optimizer(learned(), TrainerConfig(optim="adamw_8bit", adam_beta2=0.995))
    assert isinstance(optimizer, AdamW8bit) and optimizer.defaults["betas"] == (0.9, 0.995)


def test_without_bitsandbytes_the_way_out_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(UserError, match=r"bitsandbytes is not installed.*metaicl\[bitsandbytes\].*set optim to adamw"):
        make_optimizer(learned(), TrainerConfig(optim="adamw_8bit"))


def test_8_bit_states_train_as_32_bit_ones_nearly():
    bnb = pytest.importorskip("bitsandbytes")
    found = {}
    for optim in ("adamw", "adamw_8bit"):
        weight = torch.nn.Parameter(torch.linspace(-1, 1, 8192))
        optimizer = make_optimizer([weight], TrainerConfig(optim=optim, learning_rate=1e-2))
        for _ in range(5):
            weight.square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        found[optim] = weight.detach()
    assert isinstance(optimizer, bnb.optim.AdamW8bit)
    torch.testing.assert_close(found["adamw_8bit"], found["adamw"], atol=5e-3, rtol=0)
