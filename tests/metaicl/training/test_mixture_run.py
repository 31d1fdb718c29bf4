"""A run on a mixture of suites: what it is, what it records, and how it goes from the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import make_folder, rows, write_task

from metaicl.cli.main import main, parse
from metaicl.training.config import TrainRun
from metaicl.training.identity import RUN, identity_of
from task_suites.core.errors import UserError
from task_suites.provenance import data_record

SMALL = ["--model", "tiny-random", "--device", "cpu"]
STEPS = ["--max_steps", "2", "--k", "2", "--queries", "2", "--eval_steps", "2"]
STEPS += ["--validation_k", "2", "--validation_queries", "2"]
BY_SUITE = ["--mixing", "weights", "--mixing_weights_by", "suite"]


@pytest.fixture
def two(tmp_path, monkeypatch) -> tuple[str, str]:
    """Two folders of three tasks, one on each side, named from the working folder."""
    monkeypatch.chdir(tmp_path)
    for name, tasks in (("one", ("mood", "taste", "topic")), ("two", ("age", "size", "tone"))):
        folder = make_folder(Path(name), tasks=tasks)
        for task in tasks:
            write_task(folder, task, train=rows(task, "train", 12), test=rows(task, "test", 12))
        (folder / "suite.yaml").write_text((folder / "suite.yaml").read_text().replace("small", name))
    return "one/suite", "two/suite"


def identity(*words: str) -> dict[str, Any]:
    run = parse(["train", *SMALL, *STEPS, *words])[1]
    assert isinstance(run, TrainRun)
    suite, _ = run.suite.open()
    return identity_of(run, suite, data_record(suite.tasks.values()))


def test_a_mixture_is_trained_on_evaluated_on_and_shown(two, capsys):
    names = ["--suite", *two]
    main(["train", *names, *SMALL, *STEPS, *BY_SUITE, "--mixing_weights", "{one/suite: 1, two/suite: 3}"])
    record = json.loads(Path("runs/metaicl", RUN).read_text())
    assert {name: of["suite"] for name, of in record["data"].items() if name in ("mood", "tone")} == {
        "mood": "one/suite",
        "tone": "two/suite",
    }
    assert record["identity"]["mixing_weights"] == {"age": 0.75, "mood": 0.25}
    card = json.loads(Path("runs/metaicl/best/method.json").read_text())
    assert set(card["training"]["trained_on"]) == {"age", "mood"}
    evaluating = ["evaluate", *SMALL, "--k", "2", "--seeds", "1", "--queries", "2"]
    main([*evaluating, *names[:1], *names[:0:-1], "--methods", "random", "runs/metaicl/best"])
    results = json.loads(Path("runs/comparison/results.json").read_text())
    assert {task["name"] for task in results["tasks"]} == {"topic", "tone"}
    capsys.readouterr()
    main(["runs", "show", "metaicl"])
    assert "  suites: one/suite, two/suite\n" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([*evaluating, *names, "--run_name", "seen", "--split", "meta_train", "--methods", "runs/none/best"])


def test_the_order_and_the_place_of_the_suites_are_no_part_of_the_run(two):
    weights = [*BY_SUITE, "--mixing_weights", "{one/suite: 1, two/suite: 3}"]
    first = identity("--suite", *two, *weights)
    assert first == identity("--suite", *two[::-1], *weights)
    assert first == identity("--suite", *two, *BY_SUITE[:2], "--mixing_weights", "{mood: 0.25, age: 0.75}")
    shutil.copytree("two", "three")
    moved = [*BY_SUITE, "--mixing_weights", "{one/suite: 2, three/suite: 6}"]
    assert first == identity("--suite", "three/suite", two[0], *moved)
    assert first != identity("--suite", *two, *BY_SUITE, "--mixing_weights", "{one/suite: 1, two/suite: 2}")
    assert first != identity("--suite", two[1], *BY_SUITE, "--mixing_weights", "{two/suite: 3}")


def test_a_weight_of_a_suite_that_is_not_there_is_refused_before_anything_is_written(two, capsys):
    with pytest.raises(SystemExit):
        main(["train", "--suite", *two, *SMALL, *STEPS, *BY_SUITE, "--mixing_weights", "{one/suites: 1}"])
    error = "no suite 'one/suites' among the meta-training tasks. Did you mean one/suite"
    assert error in capsys.readouterr().err and not Path("runs").exists()


@pytest.mark.parametrize("written", ["one/suite", ["one/suite", "two/suite"]])
def test_a_configuration_names_one_suite_or_several(two, written):
    Path("run.yaml").write_text(yaml.safe_dump({"suite": written}))
    _, config = parse(["train", "--config", "run.yaml", "--min_train", "3"])
    names = [written] if isinstance(written, str) else written
    assert (config.suite.names, config.suite.min_train) == (names, 3)
    assert parse(["train", "--config", "run.yaml", "--suite", "embedded"])[1].suite.names == ["embedded"]


@pytest.mark.parametrize("command", ["train", "evaluate", "tune", "benchmark", "quickstart", "suites list"])
def test_each_command_takes_several_suites_after_one_flag_or_several(command):
    one, listed = ["--suite", "a", "b:c", "--max_words", "3"], ["--max_words=3", "--suite=[a, b:c]"]
    for words in (one, listed, ["--suite", "a", "--max_words", "3", "--suite", "b:c"]):
        _, config = parse([*command.split(), *words])
        assert (config.suite.names, config.suite.max_words) == (["a", "b:c"], 3)
    with pytest.raises(UserError, match=r"unknown option --suite.name. Did you mean suite"):
        parse([*command.split(), "--suite.name", "a"])


def test_the_page_on_mixtures_shows_what_works(tmp_path, monkeypatch, capsys):
    page = (Path(__file__).parents[3] / "docs" / "mixtures.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    shutil.move(make_folder(Path()), "my-suite")
    lists = [line.split("#")[0] for line in page.splitlines() if line.startswith("metaicl suites list")]
    for line in lists:
        main(line.split()[1:])
    assert capsys.readouterr().out.count("embedded+small: 8") == len(lists) == 2
    names: dict[str, Any] = {}
    exec(page.split("```python\n")[1].split("```")[0], names)
    assert len(names["suite"].tasks) == 81


@pytest.mark.parametrize("to", ["local", "arrow"])
def test_an_exported_mixture_opens_as_one_suite_with_the_same_tasks(two, to, capsys):
    main(["suites", "export", "--suite", *two, "--to", to, "--output", "both"])
    opened = capsys.readouterr().out.split("'")[1]
    main(["suites", "show", opened])
    head, *lines = capsys.readouterr().out.splitlines()
    main(["suites", "show", "--suite", *two[::-1]])
    mixed_head, *mixed = capsys.readouterr().out.splitlines()
    assert head == mixed_head and head.startswith("one+two  6 tasks")
    assert [line for line in lines if "meta_" in line] == [line for line in mixed if "meta_" in line]
    main(["suites", "list", "--suite", *two])
    assert ["meta_train", "two/suite", "age"] in [line.split()[:3] for line in capsys.readouterr().out.splitlines()]
