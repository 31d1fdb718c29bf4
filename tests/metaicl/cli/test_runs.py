"""`metaicl runs` says what was trained and compared, and in what two trainings differ."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from backbones import tiny_config

from eval.answering import make_validate
from eval.config import EvaluateRun, Protocol
from eval.evaluate import evaluate_run
from metaicl.cli.main import main
from metaicl.training.config import TrainerConfig, TrainRun
from metaicl.training.identity import RUN, read_record
from metaicl.training.run import train_run
from task_suites.sources import SuiteConfig

TOYS = SuiteConfig(["toys:toy_suite"], min_train=1, min_test=1)


def silent(text: str) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Two trainings, the second below a folder of its own, and a comparison."""
    output = tmp_path_factory.mktemp("runs")
    trainer = TrainerConfig(max_steps=1, k=2, queries=2, warmup_steps=0)
    run = TrainRun("first", str(output / "first"), TOYS, backbone=tiny_config(), trainer=trainer, progress=False)
    train_run(run, make_validate, silent)
    train_run(
        replace(run, output_dir=str(output / "more/second"), trainer=replace(trainer, learning_rate=0.5)),
        make_validate,
        silent,
    )
    protocol = Protocol(k=[2], seeds=1, queries=2)
    evaluate_run(
        EvaluateRun(
            "compared",
            str(output / "compared"),
            TOYS,
            methods=["majority", "random"],
            highlight="majority",
            baseline="random",
            backbone=tiny_config(),
            protocol=protocol,
            progress=False,
        ),
        say=silent,
    )
    return output


def said(capsys, *words: object) -> str:
    main(["runs", *map(str, words)])
    return capsys.readouterr().out


def error(capsys, *words: object) -> str:
    with pytest.raises(SystemExit) as stop:
        main(["runs", *map(str, words)])
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_each_run_is_listed_once_with_what_it_is(runs, capsys):
    head, *lines = said(capsys, "list", "--folder", runs).splitlines()
    assert head.split()[0] == "run"
    assert [line.split()[0] for line in lines] == ["compared", "first", "more/second"]
    assert "comparison of 2 methods on" in lines[0]
    assert all("training of metaicl on tiny-random, 1 step in" in line for line in lines[1:])


def test_a_training_is_shown_with_every_option_of_its_record(runs, capsys):
    out = said(capsys, "show", "first", "--folder", runs)
    record = read_record(runs / "first")
    assert record is not None
    assert out.splitlines()[1] == "  suites: toys:toy_suite"
    options = [name for name in record.identity if not name.startswith("task.")]
    lines = out.splitlines()[2:]
    assert [line.split()[0] for line in lines[: len(options)]] == options
    shown = " ".join(lines[len(options) :])
    assert all(name.removeprefix("task.") in shown for name in record.identity.keys() - set(options))
    assert said(capsys, "show", runs / "first", "--folder", runs) == out


def test_a_comparison_is_shown_with_each_method(runs, capsys):
    lines = said(capsys, "show", "compared", "--folder", runs).splitlines()
    assert [line.split()[0] for line in lines if line.split()[0] in ("Majority", "Random")] == ["Majority", "Random"]


def test_two_trainings_differ_in_what_was_changed(runs, capsys):
    out = said(capsys, "compare", "first", "more/second", "--folder", runs)
    assert [line.split() for line in out.splitlines()[2:]] == [
        ["option", "first", "second"],
        ["learning_rate", "0.001", "0.5"],
    ]
    assert "The same run" in said(capsys, "compare", "first", "first", "--folder", runs)


def test_a_training_that_was_stopped_says_so(runs, capsys, tmp_path):
    record = read_record(runs / "first")
    assert record is not None
    (tmp_path / "stopped").mkdir()
    replace(record, finished=None).write(tmp_path / "stopped")
    assert (tmp_path / "stopped" / RUN).is_file()
    assert "not finished; the same command continues it" in said(capsys, "list", "--folder", tmp_path)


def test_a_damaged_run_is_named_and_hides_no_other(runs, capsys, tmp_path):
    shutil.copytree(runs / "first", tmp_path / "whole")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "results.json").write_text("{}")
    _, damaged, whole = said(capsys, "list", "--folder", tmp_path).splitlines()
    assert "cannot be read: " in damaged and "training of metaicl" in whole


def test_mistakes_are_named(runs, capsys, tmp_path):
    assert "the folder holds no runs" in error(capsys, "list", "--folder", tmp_path)
    assert "no run 'frist'. Did you mean first" in error(capsys, "show", "frist", "--folder", runs)
    assert "metaicl report " in error(capsys, "compare", "first", "compared", "--folder", runs)
    assert "takes 2 runs; found 1" in error(capsys, "compare", "first", "--folder", runs)
    assert "takes 0 runs; found 1" in error(capsys, "list", "first", "--folder", runs)
    assert "Did you mean show" in error(capsys, "shw")
