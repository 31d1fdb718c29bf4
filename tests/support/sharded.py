"""Trainings on one process or on a model sharded over several, in float64.

    torchrun --nproc_per_node 2 tests/support/sharded.py FOLDER NAME

with or without ACCELERATE_USE_FSDP, leaves FOLDER/NAME.json: the losses of ten steps of each case of `TRAINED`,
the scores of a few queries, and the saved method in FOLDER/NAME/CASE/best.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from curves import in_float64, write_model
from training import CONFIG, TASKS

from metaicl.lm.config import BackboneConfig
from metaicl.training.checkpoint import MethodConfig
from metaicl.training.trainer import Trainer
from task_suites.core.errors import UserError
from task_suites.episodes import EpisodeSampler
from task_suites.formats.prompt_format import PromptFormat

ROOT = Path(__file__).resolve().parents[2]
FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_RESHARD_AFTER_FORWARD": "true"}
TRAINED: dict[str, dict[str, Any]] = {
    "metaicl": {"method": "metaicl", "weights": "lora"},
    "metaicl-full": {"method": "metaicl", "weights": "full"},
    "channel": {"method": "metaicl_channel", "weights": "lora"},
    "fomaml": {"method": "fomaml", "weights": "lora"},
}
REFUSED: dict[str, dict[str, Any]] = {
    "maml": {"method": "maml", "weights": "lora"},
    "fomaml-full": {"method": "fomaml", "weights": "full"},
    "protonet": {"method": "protonet", "weights": "frozen"},
}
SETTINGS = replace(CONFIG, max_steps=10, episodes_per_step=4, row_tokens=300, save_steps=5)

EPISODE = EpisodeSampler(0, 4, 4).draw(TASKS[0], "test", 0)
QUERIES = [query.hidden() for query in EPISODE.queries]


def made(folder: Path, run: Path, method: str, weights: str) -> Trainer:
    adapters = {"lora_r": 4} if weights == "lora" else {}
    backbone = BackboneConfig(model=str(folder / "model"), dtype="float32", device="cpu", weights=weights, **adapters)
    config = MethodConfig(method, {}, backbone, PromptFormat())
    with in_float64():
        built = config.build()
    return Trainer(built, config, TASKS, SETTINGS, run, progress=False)


def main(folder: Path, name: str) -> None:
    losses: dict[str, list[float]] = {}
    scores: dict[str, list[float]] = {}
    shares: dict[str, float] = {}
    refused: dict[str, str] = {}
    for case, settings in TRAINED.items():
        trainer = made(folder, folder / name / case, **settings)
        whole = sum(p.numel() for p in trainer.method.parameters())
        here = sum(getattr(p, "to_local", lambda p=p: p)().numel() for p in trainer.method.parameters())
        shares[case] = here / whole
        losses[case] = [trainer.take_step()["loss"] for _ in range(5)]
        trainer.save_checkpoint()
        continued = made(folder, folder / name / case, **settings)
        continued._begin(resume=True)
        losses[case] += [continued.take_step()["loss"] for _ in range(5)]
        continued._finish()
        predictor = continued.method.adapt(EPISODE.task, EPISODE.support)
        scores[case] = [float(score) for query in predictor.scores(QUERIES) for score in query]
    for case, settings in REFUSED.items() if trainer.sharded else ():
        try:
            made(folder, folder / name / case, **settings)
        except UserError as error:
            refused[case] = str(error)
    if trainer.accelerator.is_main_process:
        content = {"losses": losses, "scores": scores, "shares": shares, "refused": refused, "sharded": trainer.sharded}
        (folder / f"{name}.json").write_text(json.dumps(content))
    trainer.accelerator.wait_for_everyone()
    trainer.accelerator.end_training()


def launch(folder: Path, name: str, processes: int, timeout: int = 600) -> dict[str, Any]:
    """Train on one process, or on several that share the model; what `main` leaves."""
    if not (folder / "model").exists():
        write_model(folder / "model")
    shares = FSDP if processes > 1 else {}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **shares}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    subprocess.run([*command, __file__, str(folder), name], check=True, env=environment, timeout=timeout)
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), sys.argv[2])
