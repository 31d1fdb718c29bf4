"""Finished work is taken again only where nothing that it depends on has changed: data, sides, settings, own code."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from backbones import tiny_config
from helpers import rows, write_task
from scripted import PROTOCOL, Scripted

from eval.benchmark import benchmark_run
from eval.config import BenchmarkRun, Protocol, QuickstartRun, TuneRun
from eval.contenders import Backbones, Contender, contender
from eval.fingerprints import training_print
from eval.harness import Comparison
from eval.quickstart.run import quickstart
from eval.tune import tune_run
from metaicl.training.checkpoint import CARD, MethodConfig, read_training, save_method
from metaicl.training.config import TrainerConfig, TrainRun, ValidationConfig
from metaicl.training.run import inherited_tasks
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.sources import SuiteConfig
from task_suites.task import Illustration, Task

SIDES = {"meta_train": ["mood", "tone"], "meta_validation": ["taste"], "meta_test": ["topic"]}
EXCHANGED = SIDES | {"meta_train": ["mood", "topic"], "meta_test": ["tone"]}


def quiet(text: str) -> None:
    pass


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with four tasks."""
    for name in ("mood", "tone", "taste", "topic"):
        write_task(tmp_path / "suite", name, train=rows(name, "train", 40), test=rows(name, "test", 8))
    write_sides(tmp_path / "suite", SIDES)
    return tmp_path / "suite"


def write_sides(folder: Path, sides: dict[str, list[str]]) -> None:
    (folder / "suite.yaml").write_text(yaml.safe_dump({"name": "small", "description": "tasks", "splits": sides}))


def quick_suite(folder: Path) -> SuiteConfig:
    return SuiteConfig([str(folder)], 40, forms=["options"])


def suite_of(folder: Path) -> SuiteConfig:
    return SuiteConfig([str(folder)], min_train=1, min_test=1)


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


OTHER_STUDIES = {
    "method_options": {"method_options": {"objective": "tokens"}},
    "k": {"trainer": TrainerConfig(max_steps=2, k=1, queries=2, warmup_steps=1)},
    "validation": {"validation": ValidationConfig(k=1, queries=2)},
    "space": {"space": {"learning_rate": ["log", 0.1, 0.2]}},
    "sampler_seed": {"sampler_seed": 1},
    "method": {"method": "protonet"},
    "format": {"format": PromptFormat(answer="\nLabel:")},
}


@pytest.fixture
def study(folder) -> TuneRun:
    trainer, validation = TrainerConfig(max_steps=2, k=2, queries=2, warmup_steps=1), ValidationConfig(k=2, queries=2)
    common = {"backbone": tiny_config(), "trainer": trainer, "validation": validation, "trials": 1, "progress": False}
    return TuneRun("tune", str(folder.parent / "runs" / "tune"), suite_of(folder), **common)


def test_a_study_is_continued_only_where_it_is_the_same(study, folder):
    tune_run(study, quiet)
    place = study.folder
    before = {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()}
    for option, change in OTHER_STUDIES.items():
        with pytest.raises(
            UserError, match=rf"holds another study.*\n.*then +now\n.*{option}(.|\n)*--output_dir, or delete"
        ):
            tune_run(replace(study, **change), quiet)
    write_task(folder, "taste", train=rows("taste", "other", 40))
    with pytest.raises(UserError, match=r"holds another study(.|\n)*task.taste"):
        tune_run(study, quiet)
    assert {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()} == before
    tune_run(replace(study, output_dir=f"{study.output_dir}-other"), quiet)  # the way out
    write_task(folder, "taste", train=rows("taste", "train", 40), test=rows("taste", "test", 8))
    tune_run(replace(study, trials=2), quiet)
    assert len((place / "trials.jsonl").read_text().splitlines()) == 2


def test_trials_that_no_record_explains_are_not_taken(study):
    tune_run(study, quiet)
    (study.folder / "study.json").unlink()
    with pytest.raises(UserError, match=r"holds trials\.log, .*but no study\.json"):
        tune_run(study, quiet)


def shown_task(output: str) -> Task:
    """A task whose definition shows an answer."""
    examples = [Example(f"the {word} {i}", "ab"[i % 2], ("a", "b")) for i, word in enumerate(("apple", "saw") * 12)]
    return Task(
        "shown", "classification", lambda split: examples, labels=("a", "b"), positive=(Illustration("x", output),)
    )


def test_a_cell_is_answered_again_where_what_the_definition_shows_changed(tmp_path):
    made = Contender("right", "Right", Scripted, "right")
    for output, more in (("a", True), ("a", False), ("b", True)):
        comparison, before = Comparison([shown_task(output)], replace(PROTOCOL, seeds=1), tmp_path), Scripted.adapted
        comparison.run(made)
        assert (Scripted.adapted > before) == more


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


def test_a_base_model_that_learned_from_a_held_out_task_or_from_nobody_knows_what_is_refused(folder, tmp_path):
    base = tmp_path / "base"
    config = MethodConfig("metaicl", {}, tiny_config(weights="full"), PromptFormat())
    suite = suite_of(folder).open()[0]
    one = {"source": "", "licence": "", "fingerprint": suite["topic"].fingerprint()}
    known = {"run": {}, "data": {}, "trained_on": {"renamed": one}}
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
