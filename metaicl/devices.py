"""What a configuration's `auto` means on this machine."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, Literal

import torch

from metaicl.config import BackboneConfig


def device_for(config: BackboneConfig) -> str:
    """The device that the configuration means here; each process of a launch has a GPU of its own."""
    if config.device != "auto":
        return config.device
    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"


def precision_for(device: str) -> Literal["bf16", "fp32"]:
    """The precision whose matrix products are quicker on `device`, by what the hardware says of itself.

    bf16 on a GPU that has it, on a CPU with AMX, and on AMD's with AVX512-BF16, where it takes 0.6 of fp32's time.
    Intel's AVX512-BF16 without AMX takes 1.8 of it, and a CPU that has to emulate bf16 twelve times as long.
    """
    if device.startswith("cuda"):
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    says = getattr(torch.cpu, "get_capabilities", dict)  # PyTorch before 2.10 or so cannot say
    can: dict[str, Any] = says() if device == "cpu" else {}
    native = can.get("amx_bf16") or (can.get("avx512_bf16") and "AMD" in str(can.get("cpu_name")))
    return "bf16" if native else "fp32"


def settled(config: BackboneConfig, device: str) -> BackboneConfig:
    """The configuration with a value for each option that is unset, and the precision that it means on `device`."""
    config = config.resolved()
    return replace(config, precision=precision_for(device)) if config.precision == "auto" else config
