"""The comparison: the same episodes for all, finished cells kept, honest records of what was not done."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import Literal

import pytest
from backbones import tiny_config
from scripted import PROTOCOL, TOYS, Scripted, scripted
from toys import choice_task, tag_task, text_task, toy_suite, toy_task

from eval.answering import make_validate, protocol_episode
from eval.benchmark import entry_key
from eval.config import BenchmarkRun, EvaluateRun, Protocol
from eval.contenders import Backbones, Contender, contender, trained_contender
from eval.evaluate import evaluate_run, finish, run_all
from eval.fingerprints import training_print
from eval.harness import Comparison
from eval.hyperparameters import Hyperparameters
from eval.results import Roles
from metaicl.lm.tiny import tiny_model, tiny_tokenizer
from metaicl.methods import METHODS
from metaicl.methods.baselines.finetune import FineTune
from metaicl.methods.gradient.maml import FOMAML, MAML
from metaicl.methods.in_context.metaicl import MetaICL
from metaicl.methods.predictor import Predictor
from metaicl.training.checkpoint import MethodConfig, load_method, save_method
from metaicl.training.config import TrainRun, ValidationConfig
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Task


def test_all_methods_meet_the_same_episodes_nested_in_k():
    task = toy_task()
    small, large = (protocol_episode(PROTOCOL, task, 1, k) for k in (2, 4))
    assert small.queries == large.queries and large.support[:2] == small.support
    assert protocol_episode(PROTOCOL, task, 1, 2) == small


def test_scores_refusals_and_predictions_are_recorded(tmp_path):
    comparison = Comparison([toy_task(), choice_task()], PROTOCOL, tmp_path)
    contenders = [scripted(), scripted(False)]
    run_all(comparison, contenders, progress=False)
    results = comparison.results(contenders)
    scores = {(c.method, c.task): c.score for c in results.cells}
    assert scores == {("right", "toy"): 1.0, ("wrong", "toy"): 0.0}
    assert len(results.cells) == 2 * 2 * 2  # methods x seeds x k
    assert {(s.method, s.task) for s in results.refusals} == {("right", "choice"), ("wrong", "choice")}
    rows = [json.loads(line) for line in (tmp_path / "predictions" / "wrong.jsonl").read_text().splitlines()]
    assert len(rows) == 4 * PROTOCOL.queries and all(r["answer"] != r["truth"] for r in rows)
    assert set(results.manifest["task_fingerprints"]) == {"toy", "choice"}


def test_finished_cells_are_not_done_again_and_a_torn_line_is(tmp_path):
    tasks = [toy_task()]
    run_all(Comparison(tasks, PROTOCOL, tmp_path), [scripted()], progress=False)
    path = tmp_path / "cells.jsonl"
    path.write_text(path.read_text()[:-40])
    Scripted.adaptations = 0
    again = Comparison(tasks, PROTOCOL, tmp_path)
    run_all(again, [scripted()], progress=False)
    assert Scripted.adaptations == 1 and len(again.results([scripted()]).cells) == 4


def test_cells_are_done_again_when_the_data_changed(tmp_path):
    task = toy_task()
    run_all(Comparison([task], PROTOCOL, tmp_path), [scripted()], progress=False)
    Scripted.adaptations = 0
    changed = task.replace(load=lambda split: task.examples(split)[:-1])
    run_all(Comparison([changed], PROTOCOL, tmp_path), [scripted()], progress=False)
    assert Scripted.adaptations == 4


def test_a_part_of_the_cells_is_spread_over_tasks_and_seeds_and_said(tmp_path):
    comparison = Comparison([toy_task("t0"), toy_task("t1")], Protocol([2], seeds=4, queries=3), tmp_path)
    pairs = {n: {(t.name, s) for t, s, _ in comparison.plan(scripted(cells=n))} for n in range(1, 9)}
    assert all(len(pairs[n]) == n and pairs[n - 1] <= pairs[n] for n in range(2, 9))
    assert len({t for t, _ in pairs[2]}) == 2 and len({s for _, s in pairs[2]}) == 2
    run_all(comparison, [scripted(cells=4)], progress=False)
    (method,) = comparison.results([scripted(cells=4)]).methods
    assert (method.cells_done, method.cells_all) == (4, 8)


def test_validation_is_the_mean_score_on_support_sets_of_its_own():
    tasks = [toy_task(), toy_task("other")]
    validate = make_validate(tasks, ValidationConfig(k=4, seeds=2, queries=5))
    assert validate(Scripted()) == {"toy": 1.0, "other": 1.0}
    assert validate(Scripted(False)) == {"toy": 0.0, "other": 0.0}


def test_free_text_and_tags_are_scored_by_their_metrics(tmp_path):
    comparison = Comparison([text_task(), tag_task()], Protocol([2], seeds=1, queries=3), tmp_path)
    majority = contender("majority", tiny_config(), PromptFormat(), Backbones())
    run_all(comparison, [majority], progress=False)
    metrics = {c.task: c.metric for c in comparison.results([majority]).cells}
    assert metrics == {"text": "exact_match", "tags": "span_f1"}


def test_a_method_that_needs_training_cannot_be_compared_by_name():
    with pytest.raises(UserError, match="metaicl train --method metaicl"):
        contender("metaicl", tiny_config(), PromptFormat(), Backbones())


def test_no_tasks_is_one_clear_error(tmp_path):
    with pytest.raises(UserError, match="no task to evaluate on"):
        Comparison([], PROTOCOL, tmp_path)


def test_the_fingerprint_of_a_trained_method_follows_its_weights(tmp_path):
    import torch

    config = MethodConfig("metaicl", {}, tiny_config(), PromptFormat())
    method = config.build()
    save_method(method, config, tmp_path / "a")
    with torch.no_grad():
        next(iter(method.learned().values())).add_(1.0)
    save_method(method, config, tmp_path / "b")
    assert trained_contender(tmp_path / "a").fingerprint != trained_contender(tmp_path / "b").fingerprint


class OtherFOMAML(FOMAML):
    @dataclass(frozen=True)
    class Config(FOMAML.Config):
        test_steps: int | None = 1


class OtherFineTune(FineTune):
    @dataclass(frozen=True)
    class Config(FineTune.Config):
        steps: int = 7


class OtherMetaICL(MetaICL):
    @dataclass(frozen=True)
    class Config(MetaICL.Config):
        supervise: Literal["queries", "all"] = "all"


def test_a_saved_method_keeps_its_options_when_the_defaults_change(tmp_path, monkeypatch):
    config = MethodConfig("fomaml", {"inner_steps": 2}, tiny_config(), PromptFormat())
    save_method(config.build(), config, tmp_path / "best")
    monkeypatch.setitem(METHODS, "fomaml", "test_harness:OtherFOMAML")
    method = load_method(tmp_path / "best")
    assert isinstance(method, MAML) and (method.config.inner_steps, method.config.test_steps) == (2, 30)


def test_what_is_finished_is_not_taken_for_a_method_whose_defaults_changed(tmp_path, monkeypatch):
    config = MethodConfig("metaicl", {}, tiny_config(), PromptFormat())
    save_method(config.build(), config, tmp_path / "best")

    def prints() -> list[str]:
        return [
            contender("finetune", tiny_config(), PromptFormat(), Backbones()).fingerprint,
            training_print(TrainRun("run", str(tmp_path / "run"), TOYS, "metaicl"), toy_suite()),
        ]

    before, saved = prints(), trained_contender(tmp_path / "best").fingerprint
    assert prints() == before
    monkeypatch.setitem(METHODS, "finetune", "test_harness:OtherFineTune")
    monkeypatch.setitem(METHODS, "metaicl", "test_harness:OtherMetaICL")
    assert not set(prints()) & set(before)
    assert trained_contender(tmp_path / "best").fingerprint == saved  # its folder records every option


def test_what_is_finished_is_not_taken_for_another_base_model_precision_or_encoding(tmp_path, monkeypatch):
    base = tmp_path / "base"
    tiny_model().save_pretrained(base)
    tiny_tokenizer().save_pretrained(base)
    backbone = tiny_config(model=str(base))
    config = MethodConfig("metaicl", {}, backbone, PromptFormat())
    save_method(config.build(), config, tmp_path / "best")
    benchmark = BenchmarkRun("run", str(tmp_path / "run"), TOYS, {"toys": ["toy"]}, ["icl"], backbone=backbone)

    def prints() -> list[str]:
        return [
            contender("icl", backbone, PromptFormat(), Backbones()).fingerprint,
            trained_contender(tmp_path / "best").fingerprint,
            training_print(TrainRun("run", str(tmp_path / "run"), TOYS, "metaicl", backbone=backbone), toy_suite()),
            entry_key(benchmark, "icl", Hyperparameters(), "a task", 4, ""),
        ]

    seen = prints()
    assert prints() == seen
    monkeypatch.setattr("eval.fingerprints.ENCODING", "another rule")
    seen += prints()
    monkeypatch.setattr("eval.fingerprints.settled", lambda config, device: replace(config, dtype="bfloat16"))
    seen += prints()
    tiny_model(seed=1).save_pretrained(base)
    seen += prints()
    assert len(set(seen)) == 16


def test_evaluate_leaves_results_a_report_and_the_config_that_makes_it_again(tmp_path):
    run = EvaluateRun(
        "toys",
        str(tmp_path / "toys"),
        TOYS,
        methods=["random", "majority", "icl"],
        backbone=tiny_config(weights="frozen"),
        protocol=Protocol([2, 4], 2, 4),
        highlight="icl",
        baseline="majority",
        progress=False,
    )
    said: list[str] = []
    results = evaluate_run(run, said.append)
    assert {c.method for c in results.cells} == {"random", "majority", "icl"}
    page = (tmp_path / "toys" / "report.html").read_text()
    assert "Raw ICL" in page and "test0" in page
    assert json.loads((tmp_path / "toys" / "results.json").read_text())["headline_k"] == 4
    assert "seeds: 2" in (tmp_path / "toys" / "config.yaml").read_text()
    again = evaluate_run(run, said.append)
    assert again.cells == results.cells


class Plural(Scripted):
    def refusal(self, task):
        return None

    def adapt(self, task, support):
        predictor = Predictor()
        predictor.generate = lambda queries: ["hoofs" for _ in queries]
        return predictor


def test_an_accepted_answer_counts_as_the_output_does_and_is_the_recorded_truth(tmp_path):
    def load(split):
        return [
            Example(f"{split} hoof {i}", "hooves", accepted=("horse feet", "hoofs")[: 2 * (i % 2)]) for i in range(6)
        ]

    task = Task("plural", "generation", load, metric="exact_match")
    comparison = Comparison([task], Protocol([2], seeds=1, queries=6), tmp_path)
    contenders = [Contender("plural", "Plural", Plural, "plural")]
    run_all(comparison, contenders, progress=False)
    (cell,) = comparison.results(contenders).cells
    assert cell.score == 0.5
    rows = [json.loads(line) for line in (tmp_path / "predictions" / "plural.jsonl").read_text().splitlines()]
    assert sorted(row["truth"] for row in rows) == 3 * ["hoofs"] + 3 * ["hooves"]


def test_methods_named_twice_are_refused(tmp_path):
    run = EvaluateRun("x", str(tmp_path / "x"), TOYS, methods=["random", "random"], progress=False)
    with pytest.raises(UserError, match="named twice"):
        evaluate_run(run, lambda message: None)


def test_finish_writes_nothing_but_whole_files(tmp_path):
    comparison = Comparison(toy_suite().split("meta_test"), PROTOCOL, tmp_path)
    contenders = [scripted()]
    run_all(comparison, contenders, progress=False)
    comparing = Roles("right", "right")
    finish(comparison, contenders, PromptFormat(), name="x", seconds=1.0, comparison=comparing, notes=[], filtered=None)
    assert not list(tmp_path.rglob(".*"))


def test_a_cell_costs_what_a_new_task_costs_whatever_is_in_memory(tmp_path, monkeypatch):
    method = MethodConfig("knn", {}, tiny_config(), PromptFormat()).build()
    hidden = method.backbone.hidden
    monkeypatch.setattr(method.backbone, "hidden", lambda *given: time.sleep(0.05) or hidden(*given))
    comparison = Comparison([toy_task()], Protocol([2], 1, 3), tmp_path)
    episode = protocol_episode(comparison.protocol, toy_task(), 0, 2)
    method.embed(episode.support)
    method.embed([query.hidden() for query in episode.queries])  # all of it is in memory now
    monkeypatch.setattr(method.backbone, "hidden", lambda *given: pytest.fail("embedded again"))
    contender = Contender("knn", "", lambda: method, "knn")
    comparison.run(contender)
    (cell,) = comparison.scored(contender)
    assert cell.adapt_seconds >= 0.05 and cell.seconds >= 0.1
