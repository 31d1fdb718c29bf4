"""Trainings of every family of methods on several processes, in float64, and how far their weights are apart.

    python -m torch.distributed.run --nproc_per_node 2 tests/support/worlds.py FOLDER NAME [EARLIER]

trains each family in FOLDER (see `prepare`) and leaves FOLDER/NAME/FAMILY.pt. With EARLIER, the name of a training on
another number of processes, it also continues that one's checkpoint of the middle: FOLDER/NAME/FAMILY-continued.pt.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from curves import FAMILIES, configure, in_float64

from metaicl.cli.main import parse
from metaicl.training.checkpoint import MethodConfig
from metaicl.training.trainer import Trainer

ROOT = Path(__file__).resolve().parents[2]
STEPS = 50
EPISODES = 4  # of a step, of all families: a multiple of every number of processes here


@dataclass(frozen=True)
class Apart:
    """How far the weights of two trainings are apart, over all weights: at most, and on average."""

    largest: float
    mean: float


def prepare(folder: Path, steps: int = STEPS) -> None:
    """Write a configuration for each family."""
    for family in FAMILIES:
        changes = {"episodes_per_step": EPISODES, "max_steps": steps, "row_tokens": 600}
        configure(family, "float64", folder / family, changes)


def launch(folder: Path, processes: int, earlier: str = "", timeout: int = 900) -> None:
    """Train all families on this many processes; the trainings' name is that number."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    words = [__file__, str(folder), str(processes), *([earlier] if earlier else [])]
    subprocess.run([*command, *words], check=True, env=environment, timeout=timeout)


def apart(folder: Path, one: str, other: str) -> dict[str, Apart]:
    """Return how far two trainings are apart, by family."""
    found = {}
    for family in FAMILIES:
        first, second = (torch.load(folder / f"{name.replace('*', family)}.pt") for name in (one, other))
        assert first.keys() == second.keys()
        differences = torch.cat([(first[name] - second[name]).abs().flatten() for name in first])
        found[family] = Apart(float(differences.max()), float(differences.mean()))
    return found


def main(folder: Path, name: str, earlier: str = "") -> None:
    """Train every family, as the module's docstring says."""
    for family in FAMILIES:
        place = folder / name / family
        trainer = made(folder, family, place)
        steps = trainer.config.max_steps or STEPS
        take(trainer, steps // 2)
        trainer.save_checkpoint()
        take(trainer, steps)
        keep(trainer, folder / name / f"{family}.pt")
        if earlier:
            again = folder / name / f"{family}-continued"
            if trainer.accelerator.is_main_process:
                shutil.copytree(folder / earlier / family, again)
            trainer.accelerator.wait_for_everyone()
            continued = made(folder, family, again)
            continued._begin(resume=True)
            assert continued.step == steps // 2
            take(continued, steps)
            keep(continued, folder / name / f"{family}-continued.pt")
    trainer.accelerator.end_training()


def made(folder: Path, family: str, place: Path) -> Trainer:
    """Return the trainer of a family's configuration."""
    _, run = parse(["train", "--config", str(folder / family / "train.yaml")])
    config = MethodConfig(run.method, run.method_options, run.backbone, run.format)
    suite, _ = run.suite.open()
    with in_float64():
        method = config.build(None, run.trainer.seed)
    return Trainer(method, config, suite.split("meta_train"), run.trainer, place, progress=False)


def take(trainer: Trainer, until: int) -> None:
    while trainer.step < until:
        trainer.take_step()


def keep(trainer: Trainer, path: Path) -> None:
    if trainer.accelerator.is_main_process:
        torch.save({name: p.detach() for name, p in trainer.method.learned().items()}, path)
    trainer.accelerator.wait_for_everyone()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), *sys.argv[2:])
