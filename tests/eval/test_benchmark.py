"""The benchmark of methods: known entries stay, missing ones are shown empty, costs beside scores."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from backbones import tiny_config

from eval import benchmark as benchmark_module
from eval.benchmark import benchmark_run, query_interval
from eval.benchmark_results import RESULTS, BenchmarkResults
from eval.cells import Cell, Prediction
from eval.config import BenchmarkRun, Protocol
from eval.contenders import DONE
from eval.report.benchmark import write_benchmark
from metaicl.lm.backbone import Backbone
from metaicl.methods import method_class
from metaicl.training import trainer
from metaicl.training.checkpoint import read_card
from metaicl.training.config import TrainerConfig
from task_suites.core.errors import UserError
from task_suites.core.idle import defaults_of
from task_suites.sources import SuiteConfig


@pytest.fixture
def run(tmp_path) -> BenchmarkRun:
    return BenchmarkRun(
        output_dir=str(tmp_path / "benchmark"),
        suite=SuiteConfig(["toys:toy_suite"]),
        applications={"fruit": ["test0"], "tools": ["test1"]},
        methods=["random", "icl", "protonet"],
        backbone=tiny_config(),
        protocol=Protocol([1, 2], 2, 4, curve_seeds=1),
        trainer=TrainerConfig(k=2, queries=2, save_steps=1),
        budget_seconds=0.2,
        progress=False,
    )


def quiet(text: str) -> None:
    pass


def test_every_entry_of_the_benchmark_is_a_score_with_interval_and_costs(run, tmp_path):
    results = benchmark_run(run, quiet)
    cells = results.entries
    assert {(c.method, c.task, c.k) for c in cells} == {
        (m, t, k) for m in run.methods for t in ("test0", "test1") for k in (1, 2)
    }
    assert all(c.low <= c.score <= c.high and c.adapt_seconds >= 0 for c in cells)
    page = (tmp_path / "benchmark" / "benchmark.html").read_text()
    assert "cannot be compared" not in page
    assert "Prototypical" in page and page.count("<svg") == 2 and "12 of 12 entries" in page
    picture = ElementTree.parse(tmp_path / "benchmark" / "benchmark-test0.svg").getroot()
    assert "mathdefault" not in page
    assert picture.tag == "{http://www.w3.org/2000/svg}svg" and "--series-0" in (picture[0].text or "")


def test_calibration_stands_beside_the_scores_and_only_where_answers_have_scores(run, tmp_path):
    results = benchmark_run(replace(run, methods=["random", "icl"]), quiet)
    cells = {c.method: c for c in results.entries if c.k == 2 and c.task == "test0"}
    said = (tmp_path / "benchmark" / "benchmark.md").read_text()
    calibration = said[said.index("## Calibration at k = 2") :].splitlines()
    (line,) = [x for x in calibration if x.startswith("| Raw ICL |")]
    assert line.split(" | ")[1] == f"{cells['icl'].brier:.2f} {cells['icl'].ece:.2f}"
    assert f"Made by:\n\n    {results.command}\n" in said


def test_a_second_run_computes_nothing_again_and_a_new_method_is_added(run, tmp_path, monkeypatch):
    first = benchmark_run(run, quiet)
    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "take_step", lambda self: pytest.fail("trained again"))
        patch.setattr("eval.answering.answer_episode", lambda *a: pytest.fail("evaluated again"))
        assert benchmark_run(run, quiet).entries == first.entries
    for place in (
        tmp_path / "benchmark" / "protonet",
        tmp_path / "benchmark" / "cells.jsonl",
    ):  # only benchmark.jsonl is kept for good
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "take_step", lambda self: pytest.fail("trained again"))
        assert benchmark_run(run, quiet).entries == first.entries
    wider = benchmark_run(replace(run, methods=[*run.methods, "majority"]), quiet)
    assert [c for c in wider.entries if c.method != "majority"] == list(first.entries)


def test_methods_on_a_frozen_backbone_share_it_and_its_embeddings(run, monkeypatch):
    loaded = []
    load = Backbone.load
    monkeypatch.setattr(Backbone, "load", lambda config, seed=0: loaded.append(load(config, seed)) or loaded[-1])
    benchmark_run(replace(run, methods=["icl", "protonet", "protonet_cosine"]), quiet)
    assert len(loaded) == 1 and len(loaded[0].shared)


def test_a_training_that_may_not_begin_is_shown_empty(run, tmp_path, monkeypatch):
    times = iter([0.0, *[1e6] * 1000])
    monkeypatch.setattr(benchmark_module.time, "monotonic", lambda: next(times))
    with pytest.raises(UserError, match="no time was left for a single entry"):
        benchmark_run(replace(run, max_minutes=1.0), quiet)
    monkeypatch.undo()
    benchmark_run(replace(run, methods=["random"]), quiet)
    times = iter([0.0, *[1e6] * 1000])
    monkeypatch.setattr(benchmark_module.time, "monotonic", lambda: next(times))
    results = benchmark_run(replace(run, max_minutes=1.0, methods=["random", "protonet"]), quiet)
    assert {c.method for c in results.entries} == {"random"}
    assert "| Prototypical | · | · | - |" in (tmp_path / "benchmark" / "benchmark.md").read_text()


def test_several_trainings_are_one_method_whose_mean_and_interval_are_those_of_its_cells(run, tmp_path):
    several = replace(run, methods=["icl", "protonet"], trainings=2)
    results = benchmark_run(several, quiet)
    entries = {(one.method, one.task): one for one in results.scored if one.k == 2}
    learned, plain = entries["protonet", "test0"], entries["icl", "test0"]
    assert [set(points) for points in learned.points] == [{"0", "1"}] * 2
    assert [set(points) for points in plain.points] == [{"0", "1"}]
    assert learned.score == pytest.approx(np.mean([list(each.values()) for each in learned.points]), abs=0.006)
    assert learned.queries == 2 * plain.queries and learned.seeds == plain.seeds
    steps = [json.loads((tmp_path / "benchmark" / name / DONE).read_text()) for name in ("protonet", "protonet-2")]
    assert steps[0]["steps"] == steps[1]["steps"] == learned.steps
    weights = [(tmp_path / "benchmark" / name / "best" / "method.safetensors") for name in ("protonet", "protonet-2")]
    assert weights[0].read_bytes() != weights[1].read_bytes()
    mean = results.means(results.tasks)["protonet"]
    assert mean.mean == pytest.approx((learned.score + entries["protonet", "test1"].score) / 2, abs=0.01)
    said = (tmp_path / "benchmark" / "benchmark.md").read_text()
    assert f"| Prototypical | {mean} |" in said and "meta-trained 2 times" in said
    once = benchmark_run(replace(several, trainings=1), quiet)  # the first of the two
    first = next(one for one in once.scored if (one.method, one.task, one.k) == ("protonet", "test0", 2))
    assert first.points == learned.points[:1]


def test_a_method_runs_on_a_model_of_its_own(run, tmp_path):
    own = "protonet@tiny-encoder"
    results = benchmark_run(replace(run, methods=["icl", own]), quiet)
    assert {one.method for one in results.scored} == {"icl", own}
    assert "| Prototypical (tiny-encoder) |" in (tmp_path / "benchmark" / "benchmark.md").read_text()
    assert BenchmarkResults.load(tmp_path / "benchmark" / RESULTS).entries == results.entries


def test_a_method_that_diverges_leaves_its_entries_empty_and_the_others_continue(run, tmp_path):
    study = tmp_path / "studies" / "fomaml" / "hyperparameters.yaml"
    study.parent.mkdir(parents=True)
    study.write_text("method: fomaml\nmethod_options: {inner_lr: 1.0e+30, clip: 1.0e+30}\n")
    said: list[str] = []
    wild = replace(run, hyperparameters=str(tmp_path / "studies"), methods=["fomaml", "random", "protonet"])
    assert {c.method for c in benchmark_run(wild, said.append).entries} == {"random", "protonet"}
    assert any("fomaml: 4 scores left empty: the inner loop diverged on task" in line for line in said)


def test_a_task_is_added_without_running_the_others_again(run, tmp_path):
    narrow = replace(run, applications={"fruit": ["test0"]}, methods=["majority"])
    benchmark_run(narrow, quiet)
    before = (tmp_path / "benchmark" / "benchmark.jsonl").read_text()
    benchmark_run(replace(run, applications={"fruit": ["test0", "test1"]}, methods=["majority"]), quiet)
    after = (tmp_path / "benchmark" / "benchmark.jsonl").read_text()
    assert after.startswith(before)
    assert [json.loads(line)["task"] for line in after[len(before) :].splitlines()] == ["test1"] * 2
    assert '<th class="group" colspan="2">fruit</th>' in (tmp_path / "benchmark" / "benchmark.html").read_text()


def test_a_benchmark_of_another_version_is_refused_when_it_is_drawn(run, tmp_path):
    benchmark_run(replace(run, methods=["majority"]), quiet)
    path = tmp_path / "benchmark" / "benchmark.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 1}))
    with pytest.raises(
        UserError,
        match=r"benchmark.json: the benchmark was written by another version of metaicl.*Run metaicl benchmark again",
    ):
        write_benchmark(path.parent)


def test_a_benchmark_of_two_machines_says_that_their_seconds_cannot_be_compared(run, tmp_path):
    benchmark_run(replace(run, methods=["majority"]), quiet)
    lines = [json.loads(line) for line in (tmp_path / "benchmark" / "benchmark.jsonl").read_text().splitlines()]
    lines[0]["machine"] = "another"
    (tmp_path / "benchmark" / "benchmark.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    benchmark_run(replace(run, methods=["majority"]), quiet)
    said = (tmp_path / "benchmark" / "benchmark.md").read_text()
    assert f"cannot be compared: {'; '.join(sorted(['another', lines[1]['machine']]))}." in said


def test_a_broken_line_of_the_benchmark_is_named(run, tmp_path):
    benchmark_run(replace(run, methods=["majority"]), quiet)
    with (tmp_path / "benchmark" / "benchmark.jsonl").open("a") as lines:
        lines.write('{"method": \n')
    with pytest.raises(UserError, match=r"benchmark.jsonl:5: not JSON .*Delete the line"):
        benchmark_run(replace(run, methods=["majority"]), quiet)


def test_the_steps_of_a_training_are_measured_once_and_kept(run, tmp_path):
    benchmark_run(replace(run, methods=["protonet"]), quiet)
    plan = json.loads((Path(tmp_path) / "benchmark" / "plans" / "protonet.json").read_text())
    done = json.loads((Path(tmp_path) / "benchmark" / "protonet" / "finished.json").read_text())
    assert plan["steps"] == done["steps"] >= 1 and plan["config"] == done["config"]


def test_hyperparameters_change_the_training_and_those_of_another_method_are_refused(run, tmp_path):
    studies = tmp_path / "studies"
    study = studies / "protonet" / "hyperparameters.yaml"
    study.parent.mkdir(parents=True)
    study.write_text("method: protonet\nmethod_options: {layer: 1}\nlearning_rate: 0.01\n")
    benchmark_run(replace(run, hyperparameters=str(studies), methods=["protonet"]), quiet)
    config, _ = read_card(tmp_path / "benchmark" / "protonet" / "best")
    assert config.options == {**defaults_of(method_class("protonet").Config), "layer": 1}
    study.write_text("method: maml\n")
    with pytest.raises(UserError, match="the hyperparameters are another method's"):
        benchmark_run(replace(run, hyperparameters=str(studies), methods=["protonet"]), quiet)


def test_hyperparameters_equal_to_the_defaults_change_no_key(run, tmp_path, monkeypatch):
    first = benchmark_run(replace(run, methods=["protonet"]), quiet)
    study = tmp_path / "studies" / "protonet" / "hyperparameters.yaml"
    study.parent.mkdir(parents=True)
    study.write_text(f"method: protonet\nmethod_options: {{scale: 30.0}}\nlearning_rate: {run.trainer.learning_rate}\n")
    monkeypatch.setattr(trainer.Trainer, "take_step", lambda self: pytest.fail("trained again"))
    tuned = replace(run, methods=["protonet"], hyperparameters=str(tmp_path / "studies"))
    assert benchmark_run(tuned, quiet).entries == first.entries


def test_an_application_wants_a_held_out_task(run):
    with pytest.raises(UserError, match=r"fruit needs a task of the meta-test split.*train0"):
        benchmark_run(replace(run, applications={"fruit": ["train0"]}), quiet)


def test_a_benchmark_without_applications_is_refused(run):
    with pytest.raises(UserError, match=r"applications is empty.*configs/benchmark.yaml"):
        benchmark_run(replace(run, applications={}), quiet)
    assert not run.folder.exists()


def test_intervals_over_queries_cover_the_score_and_narrow_with_more_of_them():
    def cells(n: int) -> list[Cell]:
        answers = tuple(Prediction(answer="ab"[i % 3 == 0], truth="a") for i in range(n))
        score = sum(a.answer == a.truth for a in answers) / n
        return [Cell("m", "t", 0, 2, score, "accuracy", predictions=answers, key=str(n))]

    few, many = query_interval(cells(12)), query_interval(cells(300))
    assert few.low < few.mean < few.high and many.high - many.low < (few.high - few.low) / 2
    assert query_interval(cells(12)) == few
