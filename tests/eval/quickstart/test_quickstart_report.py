"""What a quickstart leaves: the command that repeats it, its notes, its headline."""

from __future__ import annotations

from pathlib import Path

import pytest
from backbones import tiny_config

from eval.quickstart.config import QuickstartRun
from eval.quickstart.report import repeating
from metaicl.cli.main import parse
from task_suites.sources import SuiteConfig

QUICK = SuiteConfig(["toys:toy_suite"], 40, forms=["options"])
SMALL = {"max_steps": 3, "k": 4, "seeds": 2, "queries": 3, "finetune_cells": 1, "json": True, "progress": False}


def made(output: Path) -> QuickstartRun:
    return QuickstartRun(QUICK, output_dir=str(output / "q"), run_name="q", backbone=tiny_config(), **SMALL)


@pytest.fixture
def run(tmp_path) -> QuickstartRun:
    return made(tmp_path)


@pytest.mark.parametrize(
    "given",
    [
        [],
        ["--json", "--minutes", "4"],
        ["--minutes=4", "--size=tiny", "--k", "4"],
        ["--max_steps", "9", "--suite", "a b", "--dtype", "bfloat16", "--finetune_cells=7"],
    ],
)
def test_the_command_in_the_report_asks_for_the_size_that_ran(given):
    run = QuickstartRun(size="medium", max_steps=48, finetune_cells=1, backbone=tiny_config(dtype="float32"))
    words = repeating(run, ["quickstart", *given])
    assert repeating(run, given) == repeating(run, [])  # called from elsewhere: the words are not ours
    import shlex

    _, parsed = parse(shlex.split(words)[1:])
    assert (parsed.size, parsed.max_steps, parsed.finetune_cells, parsed.minutes) == ("medium", 48, 1, None)
    assert parsed.backbone.dtype == "float32"
    assert "--suite" not in given or parsed.suite.names == ["a b"]
