"""What the benchmarks measure with: runs that alternate, peak memory, and the last line. Imported before torch."""

from __future__ import annotations

import os

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as the command line does; read when torch is loaded
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import ctypes
import gc
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metaicl.training.run import manifest


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def take_turns(sides: Mapping[str, Callable[[], Any]], rounds: Mapping[str, int]) -> dict[str, list[float]]:
    """Return the seconds of each run of each side; the runs of the sides alternate.

    With one thread, of the process's own time, which other work on the machine does not lengthen.
    """
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(max(rounds.values())):
        for name, side in sides.items():
            if turn < rounds[name]:
                gc.collect()
                started = clock()
                side()
                seconds[name].append(clock() - started)
    return seconds


def summary(seconds: Sequence[float]) -> dict[str, float]:
    return {
        "best": rounded(min(seconds)),
        "median": rounded(float(np.median(seconds))),
        "worst": rounded(max(seconds)),
        "runs": len(seconds),
    }


def rounded(value: float) -> float:
    return float(f"{value:.4g}")


def beyond(found: Mapping[str, Any], limits: Mapping[str, float]) -> list[str]:
    """Return what differs by more than it may, or is not a number."""
    return [f"{key} {found[key]}" for key, limit in limits.items() if not found[key] <= limit]


def finish(result: dict[str, Any], wrong: Sequence[str]) -> int:
    """Print a benchmark's last line, with machine and versions (those in `result` beside them), then what is not equal;
    the exit status."""
    known = manifest()
    result.update(machine=known["machine"], versions={**known["versions"], **result.get("versions", {})})
    print(json.dumps(result), flush=True)
    if wrong:
        say(f"NOT EQUAL: {'; '.join(wrong)}")
    return 1 if wrong else 0


def worst(values: Iterable[float]) -> float:
    """Return the largest; not a number if one of them is not."""
    return float(np.max([*values]))


def forget_peak() -> float:
    """Give freed memory back and let the peak start again (proc(5)): MiB held now, 0 where this cannot be done."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    except (AttributeError, OSError, TypeError):  # another C library, or not Linux
        return 0.0
    return resident("VmRSS")


def resident(key: str) -> float:
    """MiB by Linux's account of the process."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key))
