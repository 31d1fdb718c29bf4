"""A paper's data, as a stand-in in its own layout."""

from __future__ import annotations

from pathlib import Path

from eval.config import ReproduceRun
from metaicl.lm.config import BackboneConfig

LABELS = ["praise", "complaint"]
TINY = BackboneConfig("tiny-random", dtype="float32", device="cpu", attn_implementation="plain")


def lines(task: str, part: str, n: int, options: list[str] | None = None) -> list[dict]:
    chosen = LABELS if options is None else options
    return [{"task": task, "input": f"{task} {part} {i}", "output": chosen[i % 2], "options": chosen} for i in range(n)]


def asked(data: Path, folder: Path, **changes: object) -> ReproduceRun:
    small = {"max_steps": 1, "optim": "adamw", "seeds": 2, "progress": False, "backbone": TINY}
    return ReproduceRun(data=str(data), output_dir=str(folder), **{**small, **changes})  # type: ignore[arg-type]
