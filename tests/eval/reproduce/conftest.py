"""A paper's data, as a stand-in in its own layout."""

from __future__ import annotations

from pathlib import Path

import pytest
from foreign import write
from papers import LABELS, lines


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MetaICL folder: one setting, two meta-training tasks, two targets with two seeds."""
    files: dict[str, object] = {
        "config/hr_to_lr.json": {"train": ["race-high", "sky"], "test": ["mood", "race-middle"]},
        "config/tasks/mood.json": {"task_type": "classification", "options": LABELS},
        "config/tasks/race-middle.json": {"task_type": "multi-choice", "options": []},
    }
    for task in ("race-high", "sky"):
        files[f"data/{task}/{task}_16384_100_train.jsonl"] = lines(task, "train", 40)
    for seed in (100, 13):
        for task in ("mood", "race-middle"):
            for part, n in (("train", 16), ("test", 5)):
                said = f"{part} {seed}" if part == "train" else part
                files[f"data/{task}/{task}_16_{seed}_{part}.jsonl"] = lines(task, said, n)
    return write(tmp_path_factory.mktemp("metaicl"), files)
