"""A study is continued only where it is the same one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from backbones import tiny_config
from helpers import rows, write_task
from sides import four_tasks, suite_of

from eval.config import TuneRun
from eval.tune import tune_run
from metaicl.training.config import TrainerConfig, ValidationConfig
from task_suites.core.errors import UserError
from task_suites.formats.prompt_format import PromptFormat


def quiet(text: str) -> None:
    pass


@pytest.fixture
def folder(tmp_path) -> Path:
    return four_tasks(tmp_path)


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
