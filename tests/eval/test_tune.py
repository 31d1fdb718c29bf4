"""Tuning: every trial recorded, the defaults first, a stopped study continues as it would have."""

from __future__ import annotations

import json
from dataclasses import replace
from statistics import fmean, stdev

import pytest
import yaml
from backbones import tiny_config

from eval import answering
from eval import tune as tune_module
from eval.config import TuneRun
from eval.tune import tune_run, within_error
from metaicl.lm.backbone import Backbone
from metaicl.training.config import TrainerConfig, ValidationConfig
from task_suites.core.errors import UserError
from task_suites.sources import SuiteConfig

TRAINER = TrainerConfig(max_steps=2, k=2, queries=2, warmup_steps=1)


@pytest.fixture
def run(tmp_path) -> TuneRun:
    return TuneRun(
        output_dir=str(tmp_path / "tune"),
        suite=SuiteConfig(["toys:toy_suite"]),
        backbone=tiny_config(),
        trainer=TRAINER,
        validation=ValidationConfig(k=2, queries=6),
        trials=3,
        progress=False,
    )


def trials(run: TuneRun) -> list[dict]:
    return [json.loads(line) for line in (run.folder / "trials.jsonl").read_text().splitlines()]


def test_the_first_trial_is_the_default_and_the_best_is_chosen(run, tmp_path):
    chosen_ = tune_run(run, say=lambda text: None)
    lines = trials(run)
    assert [line["trial"] for line in lines] == [0, 1, 2]
    assert lines[0]["settings"] == {"learning_rate": TRAINER.learning_rate}
    assert len({line["settings"]["learning_rate"] for line in lines}) == 3
    best = max(lines, key=lambda line: (line["value"], -line["trial"]))
    assert all(line["value"] == pytest.approx(fmean(line["scores"].values())) for line in lines)
    gains = [best["scores"][task] - score for task, score in lines[0]["scores"].items()]
    by_chance = len(gains) > 1 and fmean(gains) <= stdev(gains) / len(gains) ** 0.5
    chosen = lines[0] if by_chance else best
    assert chosen_["learning_rate"] == chosen["settings"]["learning_rate"]
    assert yaml.safe_load((tmp_path / "tune" / "hyperparameters.yaml").read_text()) == chosen_


@pytest.mark.parametrize(
    ("gains", "stay"),
    [([9.0, 0.0, 0.0], True), ([4.0, 3.0, 5.0], False), ([-1.0, 2.0], True), ([0.1], False), ([0.0, 0.0], True)],
)
def test_the_defaults_stay_within_one_standard_error_of_the_best(gains, stay):
    other = {str(i): 0.3 for i in range(len(gains))}  # standard errors: 3, 0.58, 1.5, none, 0
    assert within_error({name: 0.3 + gain for name, gain in zip(other, gains, strict=True)}, other) is stay


def test_the_defaults_stay_where_a_trial_is_better_by_chance_alone(run, monkeypatch):
    values = iter([{"a": 0.5, "b": 0.5}, {"a": 0.9, "b": 0.2}, {"a": 0.4, "b": 0.4}])
    monkeypatch.setattr(tune_module, "trial_scores", lambda *given: next(values))
    said: list[str] = []
    assert tune_run(run, said.append)["learning_rate"] == TRAINER.learning_rate
    assert "the defaults (trial 0), 50.00 on meta-validation, within one standard error of trial 1, 55.00" in said[-1]


def test_a_trial_that_is_better_on_every_task_is_chosen(run, monkeypatch):
    values = iter([{"a": 0.5, "b": 0.5}, {"a": 0.9, "b": 0.8}, {"a": 0.4, "b": 0.4}])
    monkeypatch.setattr(tune_module, "trial_scores", lambda *given: next(values))
    chosen_ = tune_run(run, say=lambda text: None)
    better = trials(run)[1]["settings"]["learning_rate"]
    assert chosen_["learning_rate"] == better != TRAINER.learning_rate


def test_a_budget_becomes_steps_once_for_all_trials(run, tmp_path):
    run = replace(run, method="protonet", trials=2, budget_seconds=0.2, trainer=replace(TRAINER, max_steps=None))
    said: list[str] = []
    tune_run(run, said.append)
    steps = json.loads((tmp_path / "tune" / "plan.json").read_text())["steps"]
    assert steps >= 1 and any(f"A trial trains {steps} steps" in text for text in said)
    for trial in ("trial-000", "trial-001"):
        config = next(yaml.safe_load_all((tmp_path / "tune" / trial / "config.yaml").read_text()))
        assert config["max_steps"] == steps
    plan = tmp_path / "tune" / "plan.json"
    plan.write_text(plan.read_text().replace(f'"steps": {steps}', '"steps": 3'))
    tune_run(replace(run, trials=3), said.append)
    assert any("A trial trains 3 steps" in text for text in said)


def test_a_study_that_was_stopped_continues_as_it_would_have(run, tmp_path):
    whole = replace(run, output_dir=f"{run.output_dir}-whole")
    tune_run(whole, say=lambda text: None)
    tune_run(replace(run, trials=2), say=lambda text: None)
    tune_run(run, say=lambda text: None)
    assert [(t["settings"], t["value"]) for t in trials(run)] == [(t["settings"], t["value"]) for t in trials(whole)]


def test_a_trial_that_was_stopped_in_its_validation_answers_no_cell_again(run, monkeypatch):
    validation = replace(run.validation, seeds=3)
    run, answered = replace(run, method="knn", trials=1, trainer=TrainerConfig(), validation=validation), []
    answer, limit = answering.answer_episode, 2

    def stopped(method, episode):
        if len(answered) == limit:
            raise KeyboardInterrupt
        answered.append(episode.support)
        return answer(method, episode)

    monkeypatch.setattr(answering, "answer_episode", stopped)
    with pytest.raises(KeyboardInterrupt):
        tune_run(run, say=lambda text: None)
    limit = 99
    tune_run(run, say=lambda text: None)
    cells = (run.folder / "cells.jsonl").read_text().splitlines()
    assert len(answered) == len(set(answered)) == len(cells) == 3


def test_a_log_that_a_kill_left_torn_is_continued_and_a_damaged_one_has_a_way_out(run):
    run = replace(run, method="knn", trials=2, trainer=TrainerConfig())
    chosen = tune_run(run, say=lambda text: None)
    log = run.folder / "trials.log"
    whole = log.read_bytes()
    lines = whole.splitlines(keepends=True)
    for kept, torn in ((len(lines), b'{"op_code": 4, "wor'), (len(lines) - 1, lines[-1][:9]), (2, lines[2][:-2])):
        log.write_bytes(b"".join(lines[:kept]) + torn)
        assert tune_run(run, say=lambda text: None) == chosen
    log.write_bytes(lines[0] + b"{\n" + b"".join(lines[2:]))
    with pytest.raises(UserError, match=r"trials\.log: not a record of trials.*Delete the file"):
        tune_run(run, say=lambda text: None)
    log.unlink()
    assert tune_run(run, say=lambda text: None) == chosen


def test_a_method_without_meta_training_is_tuned_by_its_own_options(run):
    chosen_ = tune_run(replace(run, method="finetune", trials=2, trainer=TrainerConfig()), say=lambda text: None)
    assert set(chosen_) == {"method", "method_options"} and set(chosen_["method_options"]) == {"lr", "steps"}
    assert trials(run)[0]["settings"] == {"options.lr": 1e-3, "options.steps": 20}


def test_trials_on_a_frozen_backbone_share_it_and_come_to_what_each_alone_does(run, monkeypatch):
    loaded = []
    load = Backbone.load
    monkeypatch.setattr(Backbone, "load", lambda *given: loaded.append(given) or load(*given))
    shared = replace(run, method="protonet", trials=2)
    tune_run(shared, say=lambda text: None)
    assert len(loaded) == 1
    second = trials(shared)[1]
    options = {"scale": second["settings"]["options.scale"]}
    space = {"learning_rate": ["choice", second["settings"]["learning_rate"]]}
    alone = replace(shared, output_dir=f"{shared.output_dir}-alone", method_options=options, space=space, trials=1)
    tune_run(alone, say=lambda text: None)
    assert trials(alone)[0]["value"] == second["value"]


def test_a_trial_that_diverges_is_recorded_and_passed_over(run):
    space = {"options.inner_lr": ["choice", 0.1, 1e30]}
    options = {"clip": 0.0, "inner_steps": 3}
    chosen_ = tune_run(replace(run, method="fomaml", method_options=options, space=space, trials=4), say=lambda t: None)
    values = {line["settings"]["options.inner_lr"]: line["value"] for line in trials(run)}
    assert values[0.1] is not None and values[1e30] is None
    assert chosen_["method_options"]["inner_lr"] == 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "icl"}, "icl has no range to search by default. Name options of icl"),
        ({"space": {"learning_rat": ["log", 1, 2]}}, "unknown setting 'learning_rat'.*learning_rate"),
        ({"space": {"learning_rate": ["log", 1e-3, 1e-4]}}, "learning_rate is not a range"),
    ],
)
def test_a_space_that_makes_no_sense_is_one_clear_error(run, changes, message):
    with pytest.raises(UserError, match=message):
        tune_run(replace(run, **changes))


def test_a_validation_that_cannot_be_served_is_named_before_the_first_trial(run, tmp_path):
    too_many = replace(run, validation=ValidationConfig(k=400, queries=6))
    with pytest.raises(UserError, match=r"--validation_k|demonstrations"):
        tune_run(too_many)
    assert not run.folder.exists()
    tune_run(run)
