"""Methods in one comparison have names of their own, in tables, cells and files; and what nobody knows is marked."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from backbones import tiny_config

from eval.answering import make_validate
from eval.config import EvaluateRun, Protocol
from eval.evaluate import evaluate_run
from eval.results import Roles
from metaicl.cli.main import main
from metaicl.inference.opening import open_method
from metaicl.training.config import TrainerConfig, TrainRun
from metaicl.training.run import train_run
from task_suites.core.errors import UserError
from task_suites.sources import SuiteConfig

TOYS = SuiteConfig(["toys:toy_suite"], min_train=1, min_test=1)


def a_training(output: Path, name: str, lr: float = 1e-3, **backbone) -> Path:
    trainer = TrainerConfig(max_steps=1, k=2, queries=2, learning_rate=lr, warmup_steps=0)
    run = TrainRun(name, str(output / name), TOYS, trainer=trainer, backbone=tiny_config(**backbone), progress=False)
    return train_run(run, make_validate, lambda text: None)[1].folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A folder with the trainings `slow` and `quick` of one method."""
    output = tmp_path_factory.mktemp("runs")
    a_training(output, "slow")
    a_training(output, "quick", 0.5)
    return output


def comparison(output: Path, *methods: Path | str, **changes) -> EvaluateRun:
    run = EvaluateRun("compared", str(output / "compared"), TOYS, methods=list(map(str, methods)), progress=False)
    run = replace(run, backbone=tiny_config(weights="frozen"), protocol=Protocol([2], 1, 3))
    return replace(run, **changes)


def evaluated(run: EvaluateRun) -> dict:
    return evaluate_run(run, lambda text: None)


def test_two_trainings_of_one_method_are_compared_under_the_names_of_their_runs(runs, tmp_path):
    said: list[str] = []
    run = comparison(tmp_path, "icl", runs / "slow", runs / "quick" / "best")  # a run, or its best weights
    results = evaluate_run(run, said.append)
    assert {(m.name, m.method, m.label) for m in results.methods} == {
        ("icl", "icl", "Raw ICL"),
        ("slow", "metaicl", "MetaICL (slow)"),
        ("quick", "metaicl", "MetaICL (quick)"),
    }
    assert results.comparison == Roles("slow", "icl")
    cells = [json.loads(line) for line in (run.folder / "cells.jsonl").read_text().splitlines()]
    assert len({cell["key"] for cell in cells}) == len(cells) == 3 * 2
    names = {"icl", "slow", "quick"}
    assert {c["method"] for c in cells} == {c.method for c in results.cells} == names
    predictions = {p.stem: p.read_text().splitlines() for p in (run.folder / "predictions").iterdir()}
    assert predictions.keys() == names
    assert all({json.loads(line)["method"] for line in lines} == {name} for name, lines in predictions.items())
    assert {row["method"]: row for row in cells if row["task"] == "test0"}.keys() == names
    for page in ("report.html", "report.md"):
        text = (run.folder / page).read_text().replace("\\", "")
        assert "MetaICL (slow)" in text and "MetaICL (quick)" in text
    assert any("MetaICL (slow)" in line and "MetaICL (quick)" in line for line in said)
    again = evaluated(run)
    assert again.cells == results.cells and len((run.folder / "cells.jsonl").read_text().splitlines()) == 6


def test_one_training_keeps_the_label_of_its_method_and_is_found_by_either_name(runs, tmp_path):
    run = comparison(tmp_path, "icl", runs / "slow" / "best")
    (_, method) = evaluated(run).methods
    assert (method.name, method.label) == ("slow", "MetaICL")
    for wanted in ("slow", "metaicl", str(runs / "slow"), str(runs / "slow" / "best")):
        assert evaluated(replace(run, highlight=wanted)).comparison.method == "slow"
    with pytest.raises(UserError, match=r"highlight names none of the compared methods; found slw\. Did you mean slow"):
        evaluated(replace(run, highlight="slw"))


# -- what a method was trained on ------------------------------------------------------------------------------------


def test_a_copied_method_is_guarded_as_its_run_is(runs, tmp_path):
    shutil.copytree(runs / "slow" / "best", tmp_path / "copied")
    (tmp_path / "sides.json").write_text('{"name": "other", "meta_train": ["test0"], "meta_test": ["train1", "test1"]}')
    swapped = replace(TOYS, split=str(tmp_path / "sides.json"))
    run = comparison(tmp_path, "icl", tmp_path / "copied")
    assert evaluated(run).methods[1].provenance == "known"
    with pytest.raises(UserError, match=r"copied/method.json: 1 task .*meta-trained on them; found train1"):
        evaluated(replace(run, suite=swapped, output_dir=str(tmp_path / "other")))


def test_an_unknown_provenance_is_refused_and_where_allowed_marked(runs, tmp_path, capsys):
    shutil.copytree(runs / "slow" / "best", tmp_path / "strange")
    card = tmp_path / "strange" / "method.json"
    known = json.loads(card.read_text())
    for training in ({}, {"training": None}):
        card.write_text(json.dumps({name: v for name, v in known.items() if name != "training"} | training))
        words = ["evaluate", "--methods", "icl", str(tmp_path / "strange"), "--output_dir", str(tmp_path / "x")]
        words += ["--suite", "toys:toy_suite", "--min_train", "1", "--min_test", "1"]
        words += ["--k", "2", "--seeds", "1", "--queries", "2", "--no-progress"]
        words += ["--model", "tiny-random"]
        with pytest.raises(SystemExit):
            main(words)
        assert "add --unknown_provenance allow" in capsys.readouterr().err
        assert not (tmp_path / "x").exists()
    main([*words, "--unknown_provenance", "allow"])
    results = json.loads((tmp_path / "x" / "results.json").read_text())
    assert [m["provenance"] for m in results["methods"]] == ["known", "unknown"]
    note = "MetaICL: nothing says what it was trained on"
    assert note in results["notes"][0] and note in (tmp_path / "x" / "report.html").read_text()
    with pytest.raises(SystemExit):
        main(words)  # it was allowed once, not for ever
    elsewhere = [word.replace(str(tmp_path / "x"), str(tmp_path / "y")) for word in words]
    main([*elsewhere, "--split", "meta_train"])  # nothing is claimed to be new there


def test_a_trained_base_model_is_guarded_too(tmp_path):
    best = a_training(tmp_path, "full", weights="full")
    (tmp_path / "sides.json").write_text('{"name": "other", "meta_train": ["test0"], "meta_test": ["train1", "test1"]}')
    suite = replace(TOYS, split=str(tmp_path / "sides.json"))
    run = comparison(tmp_path, "icl", suite=suite, backbone=tiny_config(model=str(best), weights="frozen"))
    with pytest.raises(UserError, match=r"full/best/method.json: 1 task .*found train1"):
        evaluated(run)


def test_a_comparison_does_not_write_into_the_folder_of_a_training(runs):
    before = (runs / "slow" / "config.yaml").read_text()
    with pytest.raises(UserError, match=r"slow holds a training.*another --output_dir"):
        evaluated(comparison(runs, "random", output_dir=str(runs / "slow")))
    assert (runs / "slow" / "config.yaml").read_text() == before


def test_a_save_that_was_killed_is_told_from_a_method_that_never_was(runs, tmp_path):
    shutil.copytree(runs / "slow", tmp_path / "slow")
    (tmp_path / "slow" / "best").rename(tmp_path / "slow" / ".best.old")  # the moment between the two renames
    for wanted in (
        lambda: evaluated(comparison(tmp_path, "icl", tmp_path / "slow" / "best")),
        lambda: open_method(str(tmp_path / "slow")),
    ):
        with pytest.raises(UserError, match=r"no trained method in .*best.*killed while it saved; the same command"):
            wanted()
