"""Hashes that say whether finished work may be taken again: they change with what it depends on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from backbones import tiny_config
from helpers import rows, write_task
from sides import EXCHANGED, SIDES, four_tasks, suite_of, write_sides

from eval.contenders import Backbones, contender
from eval.fingerprints import training_print
from metaicl.training.config import TrainRun
from task_suites.formats.prompt_format import PromptFormat


@pytest.fixture
def folder(tmp_path) -> Path:
    return four_tasks(tmp_path)


def changed(folder: Path) -> dict[str, Any]:
    """Changes of a suite's folder, each of which a training depends on, by name."""
    task = folder / "mood" / "task.yaml"
    keys = yaml.safe_load(task.read_text())
    return {
        "an example": lambda: write_task(folder, "mood", train=rows("mood", "other", 40)),
        "an instruction": lambda: task.write_text(yaml.safe_dump({**keys, "instruction": "Say how it sounds."})),
        "a side": lambda: write_sides(folder, EXCHANGED),
        "a task less": lambda: write_sides(folder, SIDES | {"meta_train": ["mood"]}),
        "validation": lambda: write_task(folder, "taste", train=rows("taste", "other", 40)),
    }


@pytest.mark.parametrize("change", ["an example", "an instruction", "a side", "a task less", "validation"])
def test_a_training_counts_as_another_where_its_tasks_changed(folder, change):
    run = TrainRun("run", str(folder.parent / "run"), suite_of(folder), "metaicl", backbone=tiny_config())

    def now() -> str:
        return training_print(run, run.suite.open()[0])

    before = now()
    assert now() == before
    changed(folder)[change]()
    assert now() != before


def test_a_training_stays_the_same_where_only_a_held_out_task_changed(folder):
    run = TrainRun("run", str(folder.parent / "run"), suite_of(folder), "metaicl", backbone=tiny_config())
    before = training_print(run, run.suite.open()[0])
    write_task(folder, "topic", train=rows("topic", "other", 40))
    assert training_print(run, run.suite.open()[0]) == before


def test_a_method_of_ones_own_counts_as_another_where_its_source_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = (
        "from metaicl.methods.baselines.chance import MajorityAnswer\nclass Mine(MajorityAnswer):\n    number = {}\n"
    )
    (tmp_path / "reused_method.py").write_text(source.format(1))

    def now() -> str:
        return contender("reused_method:Mine", tiny_config(), PromptFormat(), Backbones()).fingerprint

    before = now()
    assert now() == before
    (tmp_path / "reused_method.py").write_text(source.format(2))
    assert now() != before
