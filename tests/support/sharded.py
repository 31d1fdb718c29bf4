"""Trainings on one process, or on several that share the work by the engine that the environment names.

    torchrun --nproc_per_node 2 tests/support/sharded.py FOLDER NAME PLAN

leaves FOLDER/NAME.json: the losses of ten steps of each case of the plan, the scores of a few queries, and the saved
method in FOLDER/NAME/CASE/best. After five steps each training is continued from its checkpoint.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
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
FSDP2 = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_RESHARD_AFTER_FORWARD": "true"}
Cases = dict[str, dict[str, str]]
TRAINED: Cases = {
    "metaicl": {"method": "metaicl", "weights": "lora"},
    "metaicl-full": {"method": "metaicl", "weights": "full"},
    "channel": {"method": "metaicl_channel", "weights": "lora"},
    "fomaml": {"method": "fomaml", "weights": "lora"},
}
REFUSED: Cases = {
    "maml": {"method": "maml", "weights": "lora"},
    "fomaml-full": {"method": "fomaml", "weights": "full"},
    "protonet": {"method": "protonet", "weights": "frozen"},
}


@dataclass(frozen=True)
class Plan:
    """What is trained, and what has to be refused where a model is shared.

    Attributes:
        double: in float64.
    """

    trained: Cases = field(default_factory=lambda: TRAINED)
    refused: Cases = field(default_factory=lambda: REFUSED)
    double: bool = True


SETTINGS = replace(CONFIG, max_steps=10, episodes_per_step=4, row_tokens=300, save_steps=5)

EPISODE = EpisodeSampler(0, 4, 4).draw(TASKS[0], "test", 0)
QUERIES = [query.hidden() for query in EPISODE.queries]


def made(folder: Path, run: Path, double: bool, method: str, weights: str) -> Trainer:
    adapters = {"lora_r": 4} if weights == "lora" else {}
    backbone = BackboneConfig(model=str(folder / "model"), dtype="float32", device="cpu", weights=weights, **adapters)
    config = MethodConfig(method, {}, backbone, PromptFormat())
    with in_float64() if double else nullcontext():
        built = config.build()
    return Trainer(built, config, TASKS, SETTINGS, run, progress=False)


def main(folder: Path, name: str, plan: Plan) -> None:
    losses: dict[str, list[float]] = {}
    scores: dict[str, list[float]] = {}
    shares: dict[str, float] = {}
    refused: dict[str, str] = {}
    for case, settings in plan.trained.items():
        trainer = made(folder, folder / name / case, plan.double, **settings)
        whole = sum(getattr(p, "ds_numel", p.numel()) for p in trainer.method.parameters())
        here = sum(part_of(p).numel() for p in trainer.method.parameters())
        shares[case] = here / whole
        losses[case] = [trainer.take_step()["loss"] for _ in range(5)]
        trainer.save_checkpoint()
        continued = made(folder, folder / name / case, plan.double, **settings)
        continued._begin(resume=True)
        losses[case] += [continued.take_step()["loss"] for _ in range(5)]
        continued._finish()
        predictor = continued.method.adapt(EPISODE.task, EPISODE.support)
        scores[case] = [float(score) for query in predictor.scores(QUERIES) for score in query]
    engine = type(trainer.engine).__name__
    for case, settings in plan.refused.items() if engine != "Engine" else ():
        try:
            made(folder, folder / name / case, plan.double, **settings)
        except UserError as error:
            refused[case] = str(error)
    if trainer.accelerator.is_main_process:
        content = {"losses": losses, "scores": scores, "shares": shares, "refused": refused, "engine": engine}
        (folder / f"{name}.json").write_text(json.dumps(content))
    trainer.accelerator.wait_for_everyone()
    trainer.accelerator.end_training()


def part_of(weight: torch.Tensor) -> torch.Tensor:
    """Return the part of a weight that lies in this process."""
    return getattr(weight, "ds_tensor", getattr(weight, "to_local", lambda: weight)())


def launch(
    folder: Path,
    name: str,
    processes: int,
    engine: Mapping[str, str] = FSDP2,
    plan: Plan | None = None,
    timeout: int = 600,
) -> dict[str, Any]:
    """Train on one process, or on several that share the work by an engine; what `main` leaves."""
    if not (folder / "model").exists():
        write_model(folder / "model")
    chosen = engine if processes > 1 else {}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **chosen}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    subprocess.run(
        [*command, __file__, str(folder), name, json.dumps(asdict(plan or Plan()))],
        check=True,
        env=environment,
        timeout=timeout,
    )
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), sys.argv[2], Plan(**json.loads(sys.argv[3])))
