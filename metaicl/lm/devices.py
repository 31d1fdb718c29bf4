"""What a configuration's `auto` means on this machine: the device, and the precision that is measured to be quicker."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Literal, cast, get_args

import torch

from metaicl.lm.config import BackboneConfig
from metaicl.lm.machine import least_seconds, measured_once
from task_suites.core.errors import UserError

Precision = Literal["bfloat16", "float32"]
CLEARLY = 0.8  # bf16 is taken where it needs at most this share of float32's time: it rounds, so a tie goes to float32
PRODUCT = 256, 576, 1536  # tokens and the widths of a layer's network, for timing


def device_for(config: BackboneConfig) -> str:
    """Return the device that the configuration means here; each process of a launch has a GPU of its own."""
    if config.device != "auto":
        _refuse_absent(config.device)
        return config.device
    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"


def at_hand(config: BackboneConfig) -> BackboneConfig:
    """Return the configuration of a saved method with a device of this machine. Where it names one that is not here,
    the device, and what only runs there, are chosen as if nothing was named."""
    here = "auto" if config.device == "auto" or not _is_here(config.device) else config.device
    config = replace(config, device=here)
    if device_for(config).startswith("cuda"):
        return config
    attention = "auto" if config.attn_implementation == "flex" else config.attn_implementation
    return replace(config, attn_implementation=attention, use_liger_kernel=False)


def _refuse_absent(device: str) -> None:
    """Raise where this machine has no such device.

    Raises:
        UserError: names those that it has.
    """
    if not _is_here(device):
        raise UserError(f"device: no device {device!r} here", expected=f"auto, {', '.join(_devices())}")


def _is_here(device: str) -> bool:
    return device.removesuffix(":0") in _devices()


def _devices() -> list[str]:
    """Return the names of this machine's devices."""
    here = ["cpu"]
    here += ["cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))] if torch.cuda.is_available() else []
    here += ["mps"] if torch.backends.mps.is_available() else []
    here += ["xpu"] if torch.xpu.is_available() else []
    return here


def precision_for(device: str) -> Precision:
    """Return the precision whose matrix products are quicker on `device`.

    On a GPU that is bf16 wherever the hardware has it. On a CPU a matrix product of a small model's size is timed in
    both, because what processors say of themselves does not tell: bf16 took 0.6 of float32's time on AMD's AVX512-BF16,
    1.8 times as long on Intel's without AMX, and five to twelve times as long where it is emulated. The answer is kept
    in the user's cache folder, under this machine's identity.
    """
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return cast(Precision, measured_once("precision", get_args(Precision), _quicker)) if device == "cpu" else "float32"


def with_precision(config: BackboneConfig, device: str | None = None) -> BackboneConfig:
    """Return the configuration with the precision that it means on `device`, or on the device that it means here."""
    if config.dtype != "auto":
        return config
    return replace(config, dtype=precision_for(device or device_for(config)))


def settled(config: BackboneConfig, device: str) -> BackboneConfig:
    """Return the configuration with a value for each option that is unset, and the precision that it means on
    `device`."""
    return with_precision(config.resolved(), device)


def _quicker() -> Precision:
    return quicker({"float32": product_seconds("float32"), "bfloat16": product_seconds("bfloat16")})


def quicker(seconds: Mapping[Precision, float]) -> Precision:
    """Return the precision to take, from the seconds of one matrix product in each."""
    return "bfloat16" if seconds["bfloat16"] < CLEARLY * seconds["float32"] else "float32"


@torch.no_grad()
def product_seconds(precision: Precision, rounds: int = 5) -> float:
    """Return the least seconds, over some rounds, of a matrix product on the CPU: 256 tokens through one layer's
    network."""
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    tokens, width, inner = PRODUCT
    states, weight = torch.ones(tokens, width, dtype=dtype), torch.ones(inner, width, dtype=dtype)
    return least_seconds(lambda: torch.nn.functional.linear(states, weight), rounds)


@cache
@torch.no_grad()
def matmul_rate(precision: Precision, device: str = "cpu") -> float:
    """Return the operations in a second of a matrix product on a device, measured once in a process."""
    if device == "cpu":
        return 2 * math.prod(PRODUCT) / product_seconds(precision)
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    states = torch.ones(8192, 8192, dtype=dtype, device=device)

    def product() -> None:
        (states @ states).sum().item()  # waits for the device

    return 2 * 8192**3 / least_seconds(product)
