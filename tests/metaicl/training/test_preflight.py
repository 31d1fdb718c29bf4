"""What can be known of a meta-training is checked before its first step, by file and line, and each way out works."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
from backbones import tiny_config
from helpers import REALTASKS, make_folder, rows, write_task
from tokenizer_kinds import word_piece
from toys import toy_suite, toy_task

from eval.answering import make_validate
from metaicl.lm.backbone import Backbone
from metaicl.lm.context_length import TooLong
from metaicl.lm.text_encoder import TextEncoder
from metaicl.methods import method_class
from metaicl.training.checkpoint import MethodConfig
from metaicl.training.config import TrainerConfig, TrainRun, ValidationConfig
from metaicl.training.preflight import check_episodes, check_training
from metaicl.training.run import train_run
from metaicl.training.step_episodes import training_episodes
from metaicl.training.trainer import Trainer
from task_suites.core.errors import UserError
from task_suites.formats.prompt_format import PromptFormat
from task_suites.sources import SuiteConfig

SHORT = TrainerConfig(max_steps=2, k=2, queries=2, warmup_steps=1)
LONG_SUITE = REALTASKS.parents[1] / "cases" / "long" / "suite"


@pytest.fixture(autouse=True)
def short_context(monkeypatch):
    monkeypatch.setattr(Backbone, "context", 1000)


def train(suite, folder, method="metaicl", trainer=SHORT, validation=None, **changes):
    config = SuiteConfig([str(suite)], min_train=1, min_test=1, **changes)
    run = TrainRun("run", str(folder / "run"), config, method, backbone=tiny_config(), trainer=trainer, progress=False)
    return train_run(replace(run, validation=validation or ValidationConfig(2, 1, 2)), make_validate, lambda _: None)


def long_suite(parent):
    """The second of eight examples has 300 words."""
    suite = make_folder(parent, {"meta_train": ["mood"], "meta_validation": ["taste"], "meta_test": ["topic"]})
    made = rows("mood", "train", 8)
    made[1]["input"] = "word " * 300
    write_task(suite, "mood", train=made)
    return suite


@pytest.mark.parametrize("method", ["metaicl", "protonet", "fomaml", "metaicl_channel", "multitask"])
def test_an_example_that_cannot_fit_is_named_by_file_and_line_and_the_advice_helps(tmp_path, method):
    suite = long_suite(tmp_path)
    with pytest.raises(TooLong) as raised:
        train(suite, tmp_path, method)
    message = str(raised.value)
    assert message.startswith(f"{suite / 'mood' / 'train.jsonl'}:2: task mood: train example 2 is too long")
    assert re.search(r"found 1[56]\d\d tokens; expected at most 1000", message)
    assert not (tmp_path / "run" / "best").exists()
    words = int(re.search(r"--max_words (\d+)", message).group(1))
    assert words < 300
    _, trained = train(suite, tmp_path, method, max_words=words)
    assert trained.steps == 2


def test_a_task_with_fewer_examples_than_k_is_found_before_the_first_step_and_a_lower_k_helps(tmp_path):
    suite = make_folder(tmp_path, {"meta_train": ["mood", "taste"], "meta_validation": ["topic"], "meta_test": []})
    write_task(suite, "mood", train=rows("mood", "train", 40))
    with pytest.raises(UserError, match=r"task taste: k=8 .*; found 6 examples.* k is set by --k"):
        train(suite, tmp_path, trainer=replace(SHORT, k=8))
    assert train(suite, tmp_path, trainer=replace(SHORT, k=4))[1].steps == 2


def test_a_validation_task_with_fewer_examples_than_its_k_is_found_before_the_first_step(tmp_path):
    suite, trainer = make_folder(tmp_path), replace(SHORT, eval_steps=2)
    with pytest.raises(UserError, match=r"task taste: k=8 .* k is set by --validation_k"):
        train(suite, tmp_path, trainer=trainer, validation=ValidationConfig(8, 1, 2))
    assert train(suite, tmp_path, trainer=trainer)[1].best_value is not None


def test_validation_without_tasks_is_refused_and_both_ways_out_help(tmp_path):
    suite, trainer = make_folder(tmp_path, {"meta_train": ["mood"]}), replace(SHORT, eval_steps=2)
    with pytest.raises(UserError, match=r"none of the meta-validation tasks.* Set --eval_steps 0, or put"):
        train(suite, tmp_path, trainer=trainer)
    assert train(suite, tmp_path / "a", trainer=replace(trainer, eval_steps=0))[1].steps == 2
    make_folder(tmp_path, {"meta_train": ["mood"], "meta_validation": ["taste"]})
    assert train(suite, tmp_path / "b", trainer=trainer)[1].best_value is not None


def test_an_episode_beyond_the_context_is_found_ahead_and_the_k_that_it_names_fits(tmp_path):
    suite = make_folder(tmp_path)
    write_task(
        suite, "mood", train=[{**row, "input": row["input"] + 20 * " word"} for row in rows("mood", "train", 40)]
    )
    with pytest.raises(TooLong, match=r"an episode with 16 demonstrations does not fit") as raised:
        train(suite, tmp_path, trainer=replace(SHORT, k=16))
    fits = int(re.search(r"Lower --k \(this one fits with (\d+)\)", str(raised.value)).group(1))
    assert 1 <= fits < 16 and train(suite, tmp_path, trainer=replace(SHORT, k=fits - 1))[1].steps == 2


def test_a_step_that_cannot_be_taken_leaves_the_state_of_the_steps_before_it(tmp_path, monkeypatch):
    config = MethodConfig("metaicl", {}, tiny_config(), PromptFormat())
    trainer = Trainer(
        config.build(), config, toy_suite().split("meta_train"), replace(SHORT, max_steps=5), tmp_path, progress=False
    )
    take = trainer.take_step

    def failing():
        if trainer.step == 3:
            raise UserError("the inner loop diverges")
        return take()

    monkeypatch.setattr(trainer, "take_step", failing)
    with pytest.raises(UserError, match="diverges"):
        trainer.run()
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-000003"]


def test_episodes_that_fit_are_measured_without_an_error(frozen):
    method = MethodConfig("icl", {}, tiny_config(weights="frozen"), PromptFormat()).build(frozen)
    check_episodes(method, training_episodes(toy_suite().split("meta_train"), SHORT, 0))


def test_the_long_text_of_the_shared_case_is_named_before_the_first_step(tmp_path):
    if not LONG_SUITE.is_dir():
        pytest.skip("the folder of cases is not here")
    with pytest.raises(TooLong) as raised:
        train(LONG_SUITE, tmp_path)
    words = int(re.search(r"train\.jsonl:38: .*--max_words (\d+)", str(raised.value)).group(1))
    assert train(LONG_SUITE, tmp_path, max_words=words)[1].steps == 2


@pytest.mark.parametrize("side", ["meta_train", "meta_validation"])
def test_options_that_the_tokenizer_does_not_part_stop_a_training_before_its_first_step(tmp_path, side):
    labels = {"meta_train": ("fruit", "tool"), "meta_validation": ("shape", "colour"), side: ("\u00e9", "e")}
    tasks = [toy_task(name, labels[name]) for name in ("meta_train", "meta_validation")]
    tokenizer = word_piece()
    backbone = SimpleNamespace(tokenizer=tokenizer, texts=TextEncoder(tokenizer), context=1000)
    method = method_class("metaicl")(backbone, PromptFormat().resolved(), method_class("metaicl").configured({}))
    with pytest.raises(UserError, match=rf"task {side}: two options are the same tokens[\s\S]*other words"):
        check_training(method, tasks[:1], tasks[1:], replace(SHORT, eval_steps=1), ValidationConfig(2, 1, 2))
