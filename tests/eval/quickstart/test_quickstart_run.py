"""The whole story on the tiny model: every promised file and key, and no finished step repeated."""

from __future__ import annotations

import io
import json
import re
import shutil
from contextlib import redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml
from backbones import tiny_config

from eval.quickstart.config import QuickstartRun
from eval.quickstart.report import Summary
from eval.quickstart.run import quickstart
from eval.quickstart.work import FULL, UNTRAINED
from metaicl.cli.main import parse
from metaicl.training import trainer
from task_suites.sources import SuiteConfig

QUICK = SuiteConfig(["toys:toy_suite"], 40, forms=["options"])
SMALL = {"max_steps": 3, "k": 4, "seeds": 2, "queries": 3, "finetune_cells": 1, "json": True, "progress": False}
TIMES = {"seconds", "estimated_seconds", "estimate_error"}


def made(output: Path) -> QuickstartRun:
    return QuickstartRun(QUICK, output_dir=str(output / "q"), run_name="q", backbone=tiny_config(), **SMALL)


@pytest.fixture
def run(tmp_path) -> QuickstartRun:
    return made(tmp_path)


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> tuple[Path, dict, str]:
    """A finished quickstart that tests do not change: its folder, its summary, and what it printed."""
    output = tmp_path_factory.mktemp("told")
    with redirect_stdout(io.StringIO()) as printed:
        summary = quickstart(made(output))
    return output, summary, printed.getvalue()


def numbers(summary: Summary) -> dict:
    return {name: value for name, value in asdict(summary).items() if name not in TIMES}


def test_the_story_ends_in_a_page_and_one_json_line(told):
    folder, returned, out = told
    summary = json.loads(out.splitlines()[-1])
    assert summary == asdict(returned)
    page = (folder / "q" / "report.html").read_text(encoding="utf-8").replace("−", "-")
    for name in ("gain", "gain_over_calibrated"):  # the last line, the terminal and the page show the same interval
        low, high = (summary[f"{name}_ci_{end}"] for end in ("low", "high"))  # with two decimals, the others with one
        for text in (page, out):
            shown = re.findall(r"\[(-?[\d.]+), (-?[\d.]+)\]", text)
            assert any(abs(float(a) - low) < 0.056 and abs(float(b) - high) < 0.056 for a, b in shown)
    gains = {f"gain_{name}" for name in ("points", "ci_low", "ci_high", "over_calibrated")}
    more = {"gain_over_calibrated_ci_low", "gain_over_calibrated_ci_high", "size", "steps", "cut", "methods", "tasks"}
    assert set(summary) == gains | TIMES | more
    assert returned.tasks == 2 and returned.steps == 3 and returned.cut == []
    assert {"zero_shot", "icl", "icl_calibrated", "finetune", "protonet", "metaicl"} <= set(returned.methods)
    assert "Size large with 3 training steps, 2 support sets, 3 queries, 1 fine-tuning cell" in out
    assert "This takes about" in out
    assert "over raw ICL, " in out and "over raw ICL with the same calibration" in out
    page = (folder / "q" / "report.html").read_text()
    assert "Against Raw ICL, calibrated, the difference is" in page and "<svg" in page
    assert (folder / "q" / "metaicl" / "best" / "adapter_model.safetensors").is_file()
    parts = json.loads((folder / "q" / "timings.json").read_text())["parts"]
    assert {"icl answers", "metaicl training", "finetune answers", "report"} <= {part["part"] for part in parts}


def test_a_second_run_repeats_no_finished_step_and_says_the_same(told, tmp_path, monkeypatch):
    folder, first, _ = told
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(trainer.Trainer, "take_step", lambda self: pytest.fail("trained again"))
    monkeypatch.setattr("eval.answering.answer_episode", lambda *a: pytest.fail("evaluated again"))
    assert numbers(quickstart(made(tmp_path))) == numbers(first)


@pytest.mark.slow
def test_the_configuration_that_is_written_repeats_the_numbers_elsewhere(run, tmp_path):
    first = quickstart(replace(run, seeds=None, max_steps=2, finetune_cells=0))
    written = tmp_path / "q" / "config.yaml"
    _, again = parse(["quickstart", "--config", str(written), "--output_dir", str(tmp_path / "elsewhere" / "q")])
    assert again.size == first.size and again.minutes is None and again.backbone.dtype == "float32"
    assert numbers(quickstart(again)) == numbers(first)
    one, other = (tmp_path / p / "q" / "predictions" / "metaicl.jsonl" for p in (".", "elsewhere"))
    assert one.read_text() == other.read_text()


def test_the_record_names_the_size_and_the_precision_that_ran(run, tmp_path):
    quickstart(replace(run, backbone=tiny_config(dtype="auto"), max_steps=1, seeds=1, finetune_cells=0))
    results = json.loads((tmp_path / "q" / "results.json").read_text())
    config = next(yaml.safe_load_all((tmp_path / "q" / "config.yaml").read_text()))
    training = json.loads((tmp_path / "q" / "metaicl" / "run.json").read_text())["identity"]
    precision = config["dtype"]
    assert precision in ("float32", "bfloat16") and training["dtype"] == precision
    assert results["manifest"]["backbone"]["dtype"] == precision
    size = {"name": "large", "steps": 1, "seeds": 1, "queries": 3, "tasks": 10, "finetune_cells": 0, "curve": True}
    assert results["manifest"]["size"] == size
    assert results["comparison"]["also"] == "icl_calibrated"


@pytest.mark.slow
def test_the_full_story_compares_nine_methods_with_random_and_majority(run, capsys):
    summary = quickstart(replace(run, full=True, max_steps=2))
    assert set(summary.methods) == {*FULL, *UNTRAINED, "finetune"} and len(summary.methods) == 12
