"""What a configuration's `auto` means on this machine: the device, and the precision that is measured to be quicker."""

from __future__ import annotations

import json
import logging
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch

from metaicl.config import BackboneConfig
from metaicl.models import cache_folder
from task_suites.errors import UserError
from task_suites.writing import write_text

log = logging.getLogger("metaicl")
Precision = Literal["bf16", "fp32"]
CLEARLY = 0.8  # bf16 is taken where it needs at most this share of float32's time: it rounds, so a tie goes to float32


def device_for(config: BackboneConfig) -> str:
    """The device that the configuration means here; each process of a launch has a GPU of its own."""
    if config.device != "auto":
        _refuse_absent(config.device)
        return config.device
    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"


def _refuse_absent(device: str) -> None:
    """Raise where this machine has no such device.

    Raises:
        UserError: names those that it has.
    """
    here = ["cpu"]
    here += ["cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))] if torch.cuda.is_available() else []
    here += ["mps"] if torch.backends.mps.is_available() else []
    here += ["xpu"] if torch.xpu.is_available() else []
    if device.removesuffix(":0") not in here:
        raise UserError(f"backbone.device: no device {device!r} here", expected=f"auto, {', '.join(here)}")


def precision_for(device: str) -> Precision:
    """Return the precision whose matrix products are quicker on `device`.

    On a GPU that is bf16 wherever the hardware has it. On a CPU a matrix product of a small model's size is timed in
    both, because what processors say of themselves does not tell: bf16 took 0.6 of float32's time on AMD's AVX512-BF16,
    1.8 times as long on Intel's without AMX, and five to twelve times as long where it is emulated. The answer is kept
    in the user's cache folder, under this machine's identity.
    """
    if device.startswith("cuda"):
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return _measured_once(cache_folder().parent / "precision.json") if device == "cpu" else "fp32"


def with_precision(config: BackboneConfig, device: str | None = None) -> BackboneConfig:
    """Return the configuration with the precision that it means on `device`, or on the device that it means here."""
    if config.precision != "auto":
        return config
    return replace(config, precision=precision_for(device or device_for(config)))


def settled(config: BackboneConfig, device: str) -> BackboneConfig:
    """Return the configuration with a value for each option that is unset, and the precision that it means on
    `device`."""
    return with_precision(config.resolved(), device)


def processor() -> str:
    """The processor's name, as the system tells it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown processor")


def identity() -> str:
    """Name what the speed of matrix products depends on: processor, instruction set, threads and PyTorch's version."""
    instructions, threads = torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()
    return f"{platform.machine()} {processor()}, {instructions}, {threads} threads, torch {torch.__version__}"


def quicker(seconds: Mapping[Precision, float]) -> Precision:
    """Return the precision to take, from the seconds of one matrix product in each."""
    return "bf16" if seconds["bf16"] < CLEARLY * seconds["fp32"] else "fp32"


@lru_cache(maxsize=8)
def _measured_once(path: Path) -> Precision:
    """The quicker precision of this machine's CPU: read from `path`, or measured now and written there."""
    known = _read(path)
    name = identity()
    if name not in known:
        known[name] = quicker({"fp32": product_seconds("fp32"), "bf16": product_seconds("bf16")})
        try:
            write_text(path, json.dumps(known, indent=1) + "\n")
        except UserError as error:  # a cache that cannot be written costs a measurement in each process, no more
            log.debug("%s", error)
    return known[name]


def _read(path: Path) -> dict[str, Precision]:
    """What was measured before; nothing where the file is missing or damaged, since it can be measured again."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    known = known if isinstance(known, dict) else {}
    return {name: kind for name, kind in known.items() if kind in ("bf16", "fp32")}


@torch.no_grad()
def product_seconds(precision: Precision, rounds: int = 5) -> float:
    """The least seconds, over some rounds, of a matrix product on the CPU: 256 tokens through one layer's network."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    states, weight = torch.ones(256, 576, dtype=dtype), torch.ones(1536, 576, dtype=dtype)
    found = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        torch.nn.functional.linear(states, weight)
        found.append(time.perf_counter() - started)
    return min(found[1:])  # the first one warms up
