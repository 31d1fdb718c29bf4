"""Where tasks come from: the lineage of a suite, what a run records of its data, and what it says when that changed."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
import yaml
from helpers import make_folder, rows, write_task

from eval.config import EvaluateRun, Protocol
from eval.evaluate import evaluate_run
from metaicl.cli.main import main
from metaicl.lm.config import BackboneConfig
from metaicl.training.config import TrainerConfig, TrainRun
from metaicl.training.run import train_run
from task_suites import open_suite
from task_suites.core.errors import UserError
from task_suites.provenance import check_unchanged, data_record, tree
from task_suites.sources import SuiteConfig


@pytest.fixture
def folder(tmp_path):
    folder = make_folder(tmp_path)
    write_task(folder, "mood", {"source": "Moods v1", "licence": "CC0-1.0"})
    return folder


def evaluation(folder, tmp_path, **changes) -> EvaluateRun:
    run = EvaluateRun(
        run_name="compared",
        output_dir=str(tmp_path / "runs" / "compared"),
        suite=SuiteConfig([str(folder)]),
        methods=["random", "majority"],
        protocol=Protocol(k=[2], seeds=1, queries=2),
        highlight="majority",
        baseline="random",
        progress=False,
    )
    return replace(run, **changes)


def change(folder, name: str = "topic") -> None:
    write_task(folder, name, test=[*rows(name, "test"), {"input": f"something new of {name}", "output": "good"}])


def test_the_lineage_is_a_tree_of_sides_sources_and_tasks_with_fingerprints(folder, capsys):
    main(["suites", "show", str(folder)])
    text = capsys.readouterr().out
    suite = open_suite(str(folder))
    assert re.match(r"small  3 tasks  [0-9a-f]{12}\n├─ meta_train  [0-9a-f]{12}\n│  └─ Moods v1  \[CC0-1.0\]", text)
    for name, task in suite.tasks.items():
        assert f"└─ {name}  classification, 6 train, 6 test  {task.fingerprint()[:12]}" in text
    assert "source unstated  [licence unstated]" in text


def test_a_change_of_one_example_changes_the_fingerprints_above_it_alone(folder):
    before = tree(open_suite(str(folder))).splitlines()
    change(folder)
    after = tree(open_suite(str(folder))).splitlines()
    differ = [line.split("─ ")[-1].split()[0] for line, other in zip(before, after, strict=True) if line != other]
    assert differ == ["small", "meta_test", "source", "topic"]


def test_changed_data_is_named_and_tasks_that_one_side_lacks_are_passed_over(folder):
    before = data_record(open_suite(str(folder)).tasks.values())
    assert before["mood"]["source"] == "Moods v1" and before["mood"]["licence"] == "CC0-1.0"
    change(folder)
    now = data_record(open_suite(str(folder)).tasks.values())
    check_unchanged({"mood": before["mood"], "gone": before["topic"]}, now, "run")
    with pytest.raises(UserError, match=r"run: the data of 1 task changed since the run: topic; found topic with"):
        check_unchanged(before, now, "run")


def test_a_comparison_records_its_data_and_refuses_to_go_on_with_other_data(folder, tmp_path):
    run = evaluation(folder, tmp_path)
    results = evaluate_run(run, say=lambda text: None)
    task = open_suite(str(folder))["topic"]
    expected = {"suite": str(folder), "source": "", "licence": "", "fingerprint": task.fingerprint()}
    assert results.manifest["tasks"] == {"topic": expected}
    _, about = yaml.safe_load_all((run.folder / "config.yaml").read_text())
    assert about["manifest"]["tasks"] == results.manifest["tasks"]
    evaluate_run(run, say=lambda text: None)  # the same data: nothing to say
    change(folder)
    with pytest.raises(UserError, match=r"compared/config.yaml: the data of 1 task changed since the run: topic"):
        evaluate_run(run, say=lambda text: None)
    evaluate_run(replace(run, output_dir=str(tmp_path / "runs" / "afresh")), say=lambda text: None)


def test_leaving_out_long_examples_is_no_change_of_the_data(folder, tmp_path):
    before = evaluate_run(evaluation(folder, tmp_path), say=lambda text: None)
    shorter = SuiteConfig([str(folder)], max_words=40, min_train=2, min_test=2)
    after = evaluate_run(evaluation(folder, tmp_path, suite=shorter), say=lambda text: None)
    assert after.manifest["tasks"] == before.manifest["tasks"]


@pytest.mark.slow
def test_a_trained_method_is_not_evaluated_on_data_that_changed_since_its_training(folder, tmp_path):
    run = TrainRun(
        run_name="trained",
        output_dir=str(tmp_path / "runs" / "trained"),
        suite=SuiteConfig([str(folder)]),
        method="metaicl",
        backbone=BackboneConfig(model="tiny-random", dtype="float32", device="cpu", lora_r=4),
        trainer=TrainerConfig(max_steps=1, k=2, queries=2, episodes_per_step=1, eval_steps=0),
        progress=False,
    )
    train_run(run, lambda tasks, config: lambda method: 0.0, say=lambda text: None)
    card = json.loads((run.folder / "best" / "method.json").read_text())
    assert set(card["training"]["data"]) == {"mood", "taste", "topic"} and set(card["training"]["trained_on"]) == {
        "mood"
    }
    methods = ["random", "majority", str(run.folder / "best")]
    evaluate_run(evaluation(folder, tmp_path, methods=methods), say=lambda text: None)
    other = tmp_path / "sides.json"  # the same tasks, the trained one now held out
    other.write_text('{"name": "other", "meta_train": ["topic"], "meta_test": ["mood"]}')
    swapped = evaluation(
        folder,
        tmp_path,
        methods=methods,
        output_dir=str(tmp_path / "runs" / "other"),
        suite=SuiteConfig([str(folder)], split=str(other)),
    )
    with pytest.raises(UserError, match=r"best/method.json: 1 task of .*meta-trained on them; found mood"):
        evaluate_run(swapped, say=lambda text: None)
    own = evaluation(folder, tmp_path, methods=methods, output_dir=str(tmp_path / "runs" / "own"))
    evaluate_run(replace(own, split="meta_train"), say=lambda text: None)
    change(folder)
    with pytest.raises(UserError, match=r"best/method.json: the data of 1 task changed since the run: topic"):
        evaluate_run(
            evaluation(folder, tmp_path, methods=methods, output_dir=str(tmp_path / "runs" / "again")),
            say=lambda text: None,
        )
    change(folder, "mood")
    with pytest.raises(UserError, match=r"(?s)another run than this one.*task.mood .*task.topic "):
        train_run(run, lambda tasks, config: lambda method: 0.0, say=lambda text: None)
