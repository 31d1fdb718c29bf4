"""A folder of four tasks whose sides a test changes."""

from __future__ import annotations

from pathlib import Path

import yaml
from helpers import rows, write_task

from task_suites.sources import SuiteConfig

SIDES = {"meta_train": ["mood", "tone"], "meta_validation": ["taste"], "meta_test": ["topic"]}
EXCHANGED = SIDES | {"meta_train": ["mood", "topic"], "meta_test": ["tone"]}


def write_sides(folder: Path, sides: dict[str, list[str]]) -> None:
    (folder / "suite.yaml").write_text(yaml.safe_dump({"name": "small", "description": "tasks", "splits": sides}))


def four_tasks(parent: Path) -> Path:
    """Write the suite below a folder and return its own."""
    for name in ("mood", "tone", "taste", "topic"):
        write_task(parent / "suite", name, train=rows(name, "train", 40), test=rows(name, "test", 8))
    write_sides(parent / "suite", SIDES)
    return parent / "suite"


def suite_of(folder: Path) -> SuiteConfig:
    return SuiteConfig([str(folder)], min_train=1, min_test=1)
