"""The whole story on the tiny model: every promised file and key, and no finished step repeated."""

from __future__ import annotations

import json

import pytest
from backbones import tiny_config

from eval.config import QuickstartRun
from eval.quickstart import FULL, UNTRAINED, quickstart
from metaicl import trainer

SMALL = {"steps": 3, "k": 4, "seeds": 2, "queries": 3, "finetune_cells": 1, "json": True, "progress": False}


@pytest.fixture
def run(tmp_path) -> QuickstartRun:
    return QuickstartRun("toys:toy_suite", output=str(tmp_path), name="q", backbone=tiny_config(), **SMALL)


def test_the_story_ends_in_a_page_and_one_json_line(run, tmp_path, capsys):
    quickstart(run)
    out = capsys.readouterr().out
    summary = json.loads(out.splitlines()[-1])
    assert set(summary) == {"gain_points", "gain_ci_low", "gain_ci_high", "seconds", "methods", "tasks"}
    assert summary["tasks"] == 2 and {"zero_shot", "icl", "finetune", "protonet", "metaicl"} <= set(summary["methods"])
    assert "This takes about" in out
    page = (tmp_path / "q" / "report.html").read_text()
    assert "MetaICL" in page and "<svg" in page
    assert (tmp_path / "q" / "metaicl" / "best" / "adapter_model.safetensors").is_file()


def test_a_second_run_repeats_no_finished_step_and_says_the_same(run, capsys, monkeypatch):
    first = quickstart(run)
    monkeypatch.setattr(trainer.Trainer, "take_step", lambda self: pytest.fail("trained again"))
    monkeypatch.setattr("eval.harness.answer_episode", lambda *a: pytest.fail("evaluated again"))
    second = quickstart(run)
    assert {k: v for k, v in first.items() if k != "seconds"} == {k: v for k, v in second.items() if k != "seconds"}


@pytest.mark.slow
def test_the_full_story_compares_nine_methods_with_random_and_majority(run, capsys):
    from dataclasses import replace

    summary = quickstart(replace(run, full=True, steps=2))
    assert set(summary["methods"]) == {*FULL, *UNTRAINED} and len(summary["methods"]) == 11
