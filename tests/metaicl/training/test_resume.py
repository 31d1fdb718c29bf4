"""A training that is killed at whatever moment and started again ends as one that was not."""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from backbones import tiny_config
from toys import toy_suite

from metaicl.training.checkpoint import MethodConfig
from metaicl.training.config import TrainerConfig
from metaicl.training.trainer import Trained, Trainer
from task_suites.formats.prompt_format import PromptFormat

TASKS = toy_suite().split("meta_train")
TIMES = ("seconds", "tokens_per_second", "queries_per_second", "peak_memory", "matmul_share")
CONFIG = TrainerConfig(
    max_steps=4, k=2, queries=2, learning_rate=5e-3, warmup_steps=1, logging_steps=1, save_steps=2, eval_steps=2
)
SAMPLE = 6  # of the moments that are not near a rename


class Snapshots:
    """Copies of a folder at the moments before its files change: what a kill at that moment would leave."""

    def __init__(self, folder: Path, into: Path):
        self.folder, self.into, self.on = folder, into, False
        self.taken: list[tuple[str, Path]] = []
        self._last: list[tuple[str, int]] | None = None

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """As an audit hook of the interpreter, which hears of each change before it is made."""
        writes = event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir") or (
            event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wa+x")
        )
        if self.on and writes and str(self.folder) in str(arguments[0]) and self.folder.exists():
            self.on = False  # the copying itself is not looked at
            files = [(str(p), p.stat().st_size) for p in sorted(self.folder.rglob("*")) if "tensorboard" not in str(p)]
            if files != self._last:
                self._last = files
                place = self.into / f"{len(self.taken):04d}"
                shutil.copytree(self.folder, place, ignore=shutil.ignore_patterns("tensorboard"))
                self.taken.append((event, place))
            self.on = True


@contextmanager
def snapshots(folder: Path, into: Path) -> Iterator[Snapshots]:
    taken = Snapshots(folder, into)
    sys.addaudithook(taken)  # never removed, so it is switched
    taken.on = True
    yield taken
    taken.on = False


def by_weights(trainer: Trainer) -> float:
    """How far the adapters have come from where they began, so that each validation is better than the last."""
    return sum(float(p.detach().abs().sum()) for name, p in trainer.method.learned().items() if "lora_B" in name)


def train(folder: Path, config: TrainerConfig = CONFIG, value: Callable[[Trainer], float] = by_weights) -> Trained:
    method_config = MethodConfig("metaicl", {}, tiny_config(), PromptFormat())
    trainer = Trainer(method_config.build(), method_config, TASKS, config, folder, None, progress=False)
    trainer.validate = lambda method: {"one": value(trainer)}
    return trainer.run()


def outcome(folder: Path) -> dict[str, Any]:
    """All that a training leaves, but times."""
    newest = max((folder / "checkpoints").iterdir(), key=lambda p: p.name)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    state = json.loads((newest / "trainer.json").read_text())
    return {
        "metrics": [{name: value for name, value in row.items() if name not in TIMES} for row in rows],
        "state": {name: value for name, value in state.items() if name not in TIMES},
        "best": {p.name: p.read_bytes() for p in (folder / "best").iterdir()},
        "optimizer": torch.load(newest / "optimizer.bin"),
        "learned": torch.load(newest / "learned.pt"),
        "checkpoints": [p.name for p in (folder / "checkpoints").iterdir()],
        "files": sorted(p.name for p in folder.iterdir() if p.name != "tensorboard"),
    }


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.mark.slow
def test_a_training_killed_at_any_change_of_its_files_ends_as_one_that_was_not(tmp_path, monkeypatch):
    """Checkpoints are waited for, since a copy is to be of one moment; `benchmarks/resume.py` kills while they are
    written."""
    save = Trainer.save_checkpoint
    monkeypatch.setattr(Trainer, "save_checkpoint", lambda self, wait=True: save(self))
    folder = tmp_path / "run"
    with snapshots(folder, tmp_path / "taken") as moments:
        train(folder)
    straight = outcome(folder)
    steps = [row["step"] for row in straight["metrics"]]
    assert steps == [1, 2, 2, 3, 4, 4, 4]  # a step, its validation, and that of the mean weights
    near = [place for event, place in moments.taken if event in ("os.rename", "os.rmdir")]
    others = [place for event, place in moments.taken if event not in ("os.rename", "os.rmdir")]
    assert len(near) > 5 and len(others) > SAMPLE
    for place in [*near, *random.Random(0).sample(others, SAMPLE), moments.taken[-1][1]]:
        train(place)
        again = outcome(place)
        differing = [name for name in straight if not same(straight[name], again[name])]
        assert not differing, f"{place.name}: {differing}"


def test_early_stopping_counts_on_over_an_interruption(tmp_path):
    config = replace(CONFIG, early_stopping_patience=2, save_steps=3, eval_steps=1, weight_averaging=0.0)

    def value(trainer: Trainer) -> float:
        return 0.9 if trainer.step == 1 else 0.1

    straight = train(tmp_path / "run", config, value)
    assert (straight.steps, straight.best_step) == (3, 1)
    again = train(tmp_path / "run", config, value)  # from the checkpoint of the step at which it stopped
    assert (again.steps, again.best_step, again.best_value) == (3, 1, 0.9)


def test_the_count_of_dropped_demonstrations_goes_on(tmp_path):
    method_config = MethodConfig("metaicl", {}, tiny_config(), PromptFormat())

    def trainer() -> Trainer:
        return Trainer(method_config.build(), method_config, TASKS, CONFIG, tmp_path, progress=False)

    first = trainer()
    first.take_step()
    first.method.dropped = 7
    first.save_checkpoint()
    again = trainer()
    again._begin(resume=True)
    assert again.method.dropped == 7 and again.step == 1


def test_a_run_that_begins_again_takes_no_checkpoint_of_before(tmp_path):
    train(tmp_path)
    method_config = MethodConfig("metaicl", {}, tiny_config(), PromptFormat())
    shorter = replace(CONFIG, max_steps=2, eval_steps=0)
    trainer = Trainer(method_config.build(), method_config, TASKS, shorter, tmp_path, progress=False)
    trainer.run(resume=False)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-000002"]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2
