"""The public interface: each command is a function with the command's options as arguments, and names come lazily."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import pytest
from toys import toy_suite

import metaicl
from metaicl.cli.main import command_of, main
from task_suites.core.errors import UserError
from task_suites.core.flat import options_of
from task_suites.core.values import value_of

SMALL = {"model": "tiny-random", "dtype": "float32", "device": "cpu", "progress": False}


@pytest.mark.parametrize("name", ["train", "evaluate", "predict"])
def test_a_function_has_the_names_and_defaults_of_its_command(name):
    options = options_of(command_of(name).config)
    arguments = inspect.signature(getattr(metaicl, name)).parameters
    assert set(arguments) == set(options)
    for argument in arguments.values():
        if argument.default is not argument.empty:
            default = options[argument.name].default
            assert value_of(argument.default, options[argument.name].hint, argument.name) == default


def test_every_public_name_is_there_and_none_is_imported_before_it_is_used():
    assert all(hasattr(metaicl, name) for name in metaicl.__all__)
    assert set(metaicl._PLACES) == set(metaicl.__all__) - {"__version__"}
    code = "import sys, metaicl; print(*(n for n in ('torch', 'sklearn', 'eval', 'numpy') if n in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_suite_is_trained_on_compared_and_reported_from_python(tmp_path):
    suite = toy_suite()
    run = metaicl.train(suite, max_steps=1, k=2, queries=2, output_dir=tmp_path / "mine", **SMALL)
    assert run.folder == tmp_path / "mine" and run.identity["max_steps"] == 1
    assert run.open().meta_trained
    results = metaicl.evaluate(
        suite, methods=["random", run], k=2, seeds=1, queries=2, output_dir=str(tmp_path / "compared"),
        highlight="mine", baseline="random", **SMALL,
    )  # fmt: skip
    assert set(results.to_pandas().method) == {"random", "mine"}
    alone = metaicl.evaluate(suite, methods="random", k=2, seeds=1, queries=2, output_dir=tmp_path / "one", **SMALL)
    assert [method.name for method in alone.methods] == ["random"]  # a single method needs no list
    page = results.report(tmp_path / "page.html")
    assert page.read_text(encoding="utf-8") == (tmp_path / "compared" / "report.html").read_text(encoding="utf-8")
    assert metaicl.Results.load(tmp_path / "compared").to_json() == results.to_json()
    classifier = metaicl.FewShotClassifier(run).fit(["one", "two", "three", "four"], ["odd", "even", "odd", "even"])
    assert set(classifier.predict(["five"])) <= {"odd", "even"}
    demos, inputs = tmp_path / "demos.jsonl", tmp_path / "inputs.jsonl"
    demos.write_text("".join(json.dumps({"input": t, "output": "ab"[i % 2]}) + "\n" for i, t in enumerate("wxyz")))
    inputs.write_text('{"input": "v"}\n')
    assert [row["answer"] in ("a", "b") for row in metaicl.predict(demos, inputs, model=str(run.folder))] == [True]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lerning_rate": 1.0}, "unknown option lerning_rate. Did you mean learning_rate"),
        ({"max_steps": "3"}, "max_steps must be a whole number, but is '3'"),
        ({"max_steps": 0}, "max_steps must be at least 1, but is 0"),
        ({"validation_k": 0}, "validation_k must be at least 1"),
        ({"dtype": "fp32"}, "dtype must be auto, bfloat16 or float32, but is 'fp32'"),
        ({"k": True}, "k must be a whole number, but is True"),
    ],
)
def test_a_mistake_is_the_error_of_the_command_line(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        metaicl.train("embedded", output_dir=tmp_path / "run", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_run_on_a_suite_that_was_loaded_records_how_to_load_it_again(tmp_path, capsys):
    suite = metaicl.load_suite("toys:toy_suite", max_words=9, forms=["options"])
    folder, compared = tmp_path / "mine", tmp_path / "compared"
    metaicl.train(suite, max_steps=1, k=2, queries=2, output_dir=folder, **SMALL)
    main(["train", "--config", str(folder / "config.yaml")])
    assert f"The run in {folder} is finished" in capsys.readouterr().out
    small = {"k": 2, "seeds": 1, "queries": 2, "output_dir": str(compared), **SMALL}
    results = metaicl.evaluate(suite, methods=["random"], **small)
    assert results.command == f"metaicl evaluate --config {compared / 'config.yaml'}"
    main(results.command.split()[1:])
    assert metaicl.Results.load(compared).cells == results.cells


def test_an_option_that_chooses_tasks_counts_for_a_suite_that_was_opened_by_its_name(tmp_path):
    suite = metaicl.load_suite("toys:toy_suite", forms=["options"])
    name = suite.split("meta_test")[0].name
    small = {"k": 2, "seeds": 1, "queries": 2, **SMALL}
    results = metaicl.evaluate(suite, methods=["random"], tasks=[name], output_dir=tmp_path / "one", **small)
    assert [task.name for task in results.tasks] == [name]
    main(["evaluate", "--config", str(tmp_path / "one" / "config.yaml")])  # it is recorded with both options
    assert [task.name for task in metaicl.Results.load(tmp_path / "one").tasks] == [name]


def test_an_option_that_chooses_tasks_is_refused_for_a_suite_that_was_made_in_python(tmp_path):
    with pytest.raises(UserError, match=r"max_words chooses tasks .* was made in Python\. .*suite\.replace_tasks"):
        metaicl.train(toy_suite(), max_words=9, output_dir=tmp_path / "mine", **SMALL)


def test_a_suite_with_other_tasks_than_it_was_opened_with_does_not_record_how_it_was_opened():
    suite = metaicl.load_suite("toys:toy_suite")
    assert suite.config.names == ["toys:toy_suite"]
    assert not hasattr(suite.replace_tasks(lambda task: task), "config")


@pytest.mark.parametrize("name", ["runs/nowhere", "runs/nowhere@tiny-random"])
def test_a_run_that_is_missing_is_missed_before_a_hub_is_asked(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    with pytest.raises(UserError, match=r"no trained method in the folder runs/nowhere; .* metaicl runs list"):
        metaicl.evaluate(toy_suite(), methods=[name], **SMALL)
    with pytest.raises(UserError, match="no folder runs/nowhere"):
        metaicl.FewShotClassifier("runs/nowhere").fit(["one", "two"], ["odd", "even"])
