"""Finished work is taken again only where nothing that it depends on has changed: data, sides, settings, own code."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from backbones import tiny_config
from scripted import PROTOCOL, Scripted
from sides import EXCHANGED, SIDES, four_tasks, suite_of, write_sides

from eval.benchmark import benchmark_run
from eval.config import BenchmarkRun, Protocol
from eval.contenders import Contender
from eval.harness import Comparison
from eval.quickstart.config import QuickstartRun
from eval.quickstart.run import quickstart
from metaicl.training.checkpoint import CARD, MethodConfig, read_training, save_method
from metaicl.training.config import TrainerConfig, TrainRun
from metaicl.training.identity import Training
from metaicl.training.run import inherited_tasks
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.sources import SuiteConfig
from task_suites.task import Illustration, Task


def quiet(text: str) -> None:
    pass


@pytest.fixture
def folder(tmp_path) -> Path:
    return four_tasks(tmp_path)


def quick_suite(folder: Path) -> SuiteConfig:
    return SuiteConfig([str(folder)], 40, forms=["options"])


def trained_on(best: Path) -> set[str]:
    training = read_training(best)
    assert training is not None
    return set(training.trained_on)


def test_a_quickstart_whose_sides_changed_trains_again_and_tests_on_nothing_that_was_trained_on(folder, capsys):
    few = {"max_steps": 8, "k": 2, "seeds": 1, "queries": 2, "max_tasks": 1, "finetune_cells": 0, "progress": False}
    output = folder.parent / "runs"
    run = QuickstartRun(quick_suite(folder), output_dir=str(output / "q"), backbone=tiny_config(), size="mini", **few)
    for sides in (SIDES, EXCHANGED):
        write_sides(folder, sides)
        quickstart(run)
        tested = {task["name"] for task in json.loads((output / "q" / "results.json").read_text())["tasks"]}
        for method in ("metaicl", "protonet"):
            assert trained_on(output / "q" / method / "best") == set(sides["meta_train"])
        assert tested == set(sides["meta_test"])


def benchmark_of(folder: Path, task: str) -> BenchmarkRun:
    return BenchmarkRun(
        *("benchmark", str(folder.parent / "runs" / "benchmark"), suite_of(folder), {"a": [task]}, ["protonet"]),
        backbone=tiny_config(),
        protocol=Protocol([2], 1, 2),
        trainer=TrainerConfig(k=2, queries=2),
        budget_seconds=0.01,
        progress=False,
    )


def test_an_entry_of_the_benchmark_is_computed_again_where_the_training_tasks_changed(folder):
    best, entries = (folder.parent / "runs" / "benchmark" / name for name in ("protonet/best", "benchmark.jsonl"))
    benchmark_run(benchmark_of(folder, "topic"), quiet)
    benchmark_run(benchmark_of(folder, "topic"), quiet)
    assert len(entries.read_text().splitlines()) == 1 and trained_on(best) == {"mood", "tone"}
    write_sides(folder, EXCHANGED)
    benchmark_run(benchmark_of(folder, "tone"), quiet)
    assert len(entries.read_text().splitlines()) == 2 and trained_on(best) == {"mood", "topic"}


def shown_task(output: str) -> Task:
    """A task whose definition shows an answer."""
    examples = [Example(f"the {word} {i}", "ab"[i % 2], ("a", "b")) for i, word in enumerate(("apple", "saw") * 12)]
    return Task(
        "shown", "classification", lambda split: examples, labels=("a", "b"), positive=(Illustration("x", output),)
    )


def test_a_cell_is_answered_again_where_what_the_definition_shows_changed(tmp_path):
    made = Contender("right", "Right", Scripted, "right")
    for output, more in (("a", True), ("a", False), ("b", True)):
        before = Scripted.adaptations
        comparison = Comparison([shown_task(output)], replace(PROTOCOL, seeds=1), tmp_path)
        comparison.run(made)
        assert (Scripted.adaptations > before) == more


def test_a_base_model_that_learned_from_a_held_out_task_or_from_nobody_knows_what_is_refused(folder, tmp_path):
    base = tmp_path / "base"
    config = MethodConfig("metaicl", {}, tiny_config(weights="full"), PromptFormat())
    suite = suite_of(folder).open()[0]
    one = {"source": "", "licence": "", "fingerprint": suite["topic"].fingerprint()}
    known = Training({}, {}, {"renamed": one})
    quick = QuickstartRun(
        quick_suite(folder), output_dir=str(tmp_path / "quick"), backbone=tiny_config(model=str(base)), progress=False
    )
    benchmark = replace(benchmark_of(folder, "topic"), backbone=tiny_config(model=str(base)))
    for training, said in ((known, "1 task of this comparison"), (None, "nothing says what the base model")):
        save_method(config.build(), config, base, training)
        for start in (lambda: quickstart(quick), lambda: benchmark_run(benchmark, quiet)):
            with pytest.raises(UserError, match=rf"{CARD}: .*{said}"):
                start()
    run = TrainRun("run", str(tmp_path / "run"), suite_of(folder), backbone=tiny_config(model=str(base)))
    assert inherited_tasks(run) is None
