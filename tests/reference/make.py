"""Write the reference curves again, and measure how far instruction sets and threads of this machine take them apart.

    python tests/reference/make.py

Bounds are ten times what was measured, rounded up to a power of ten. Say in the commit why the curves changed.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "support"), str(HERE.parents[1])]
os.environ["HF_HUB_OFFLINE"] = "1"

MARGIN = 10


def settings() -> list[dict[str, str]]:
    """The instruction sets of this machine with one thread and two, the widest with one thread first."""
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    sets = [name for name, flag in (("avx512", "avx512f"), ("avx2", "avx2")) if flag in flags]
    return [{"ATEN_CPU_CAPABILITY": s, "OMP_NUM_THREADS": t} for t in ("1", "2") for s in (*sets, "default")]


def train_all(file: Path) -> None:
    """Every curve under this process's setting, as JSON."""
    import curves
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    found: dict[str, dict[str, object]] = {}
    for family in curves.FAMILIES:
        for dtype in curves.DTYPES:
            with tempfile.TemporaryDirectory() as folder:
                found.setdefault(family, {})[dtype] = asdict(curves.train(family, dtype, Path(folder)))
    file.write_text(json.dumps(found), encoding="utf-8")


def bound(value: float, digits: int) -> float:
    """Ten times a difference, or what rounding takes where that is more, up to a power of ten."""
    return float(f"1e{math.ceil(math.log10(MARGIN * max(value, 10.0**-digits)))}")


def write_all() -> None:
    import curves

    with tempfile.TemporaryDirectory() as folder:
        runs = []
        for setting in settings():
            file = Path(folder) / "curves.json"
            command = [sys.executable, __file__, str(file)]
            done = subprocess.run(command, env={**os.environ, **setting}, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            runs.append(json.loads(file.read_text(encoding="utf-8")))
            print(*setting.values(), "done", flush=True)
    for family in curves.FAMILIES:
        stored = {}
        for dtype, digits in curves.DIGITS.items():
            first, *others = (curves.Curve(tuple(r[family][dtype]["losses"]), r[family][dtype]["norm"]) for r in runs)
            far = [curves.distance(other, first) for other in others]
            largest = max(max(d.largest, d.norm) for d in far)
            mean = max(d.mean for d in far)
            allowed = curves.Bound(bound(largest, digits), bound(mean, digits))
            stored[dtype] = {**asdict(first.rounded(dtype)), "bound": asdict(allowed)}
            print(f"{family} {dtype}: {largest:.2g} at most, {mean:.2g} on average", flush=True)
        (HERE / f"{family}.json").write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:]:
        train_all(Path(sys.argv[1]))
    else:
        write_all()
