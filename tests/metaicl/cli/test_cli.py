"""The command line: one clear line for each mistake, and the commands run end to end on the tiny model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import make_folder

from metaicl.cli.main import main, parse
from metaicl.inference.opening import user_task
from metaicl.training.checkpoint import load_method
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.formats.presets import PRESETS, preset

TINY = ["--model", "tiny-random", "--device", "cpu", "--no-progress"]
TOYS = ["--suite", "toys:toy_suite", "--min_train", "1", "--min_test", "1"]


def fails(capsys, *words: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(list(words))
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("metaicl: ") and "Traceback" not in message and message.count("\n") == 1
    return message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "no command 'trian'. Did you mean train"),
        (["train", "--max_stepz", "3"], "unknown option --max_stepz. Did you mean max_steps"),
        (["train", "--learning_rate", "fast"], "learning_rate"),
        (
            ["train", "--max_steps", "0"],
            "max_steps must be at least 1, but is 0. It means: optimiser steps",
        ),
        (["train", "--config", "nowhere.yaml"], "nowhere.yaml: cannot read the config"),
        (["evaluate", "--methods", "[icl, metaicI]", *TOYS], "no method 'metaicI'. Did you mean metaicl"),
        (["evaluate", "--split", "test"], "split"),
        (["models", "pul"], "Did you mean pull"),
        (["models", "pull", "smollm3"], "Did you mean smollm2-135m"),
        (["suites", "show", "ag_newz"], "has no task 'ag_newz'"),
        (["suites", "list", "--suite", "nowhere"], "no suite 'nowhere'"),
        (["suites", "list", "nowhere"], "no suite 'nowhere'"),
        (
            ["suites", "audit", "embedded", "--suite", "nowhere"],
            "suites are named twice; found embedded and nowhere",
        ),
        (["suites", "splt"], "unknown action 'splt'. Did you mean split"),
        (
            ["suites", "split", "--folds", "[3]"],
            "--folds; found [3]; expected outer folds, inner folds",
        ),
        (["suites", "list", "--split_file", "hr_to_rl"], "no split 'hr_to_rl'. Did you mean hr_to_lr"),
        (["suites", "audit", "--no-near", "--context", "-5"], "context must be at least 0, but is -5"),
        (["suites", "audit", "--no-near", "--html", "/dev/null/x.html"], "/dev/null/x.html: cannot be written"),
        (["suites", "audit", "--fix", "/dev/null"], "/dev/null: the target already exists"),
        (["suites", "split", "--output", "/dev/null/x.json"], "/dev/null/x.json: cannot be written"),
        (["train", "--split_file", "nowhere.json"], "no split 'nowhere.json'"),
        (["report", "nowhere"], "nowhere"),
        (["predict", "--demos", "x.jsonl", "--inputs", "y.jsonl", "--model", "tiny-random"], "x.jsonl: cannot be read"),
    ],
)
def test_each_mistake_is_one_clear_line(capsys, words, message):
    assert message in fails(capsys, *words)


def test_a_model_that_is_not_there_is_named(capsys, tmp_path):
    rows = [{"input": f"item {i}", "output": "ab"[i % 2]} for i in range(4)]
    for name in ("demos", "inputs"):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = ["--demos", str(tmp_path / "demos"), "--inputs", str(tmp_path / "inputs")]
    assert "runs/none" in fails(capsys, "predict", "--model", "runs/none", *files)


def test_a_config_with_a_typo_names_file_line_and_nearest_key(capsys, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("method: metaicl\nmax_steps: 3\nsede: 4\n")
    assert f"{path}:3: unknown key 'sede'. Did you mean seed" in fails(capsys, "train", "--config", str(path))


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1\n", ""])
def test_a_config_that_is_no_mapping_is_refused(capsys, tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    assert str(path) in fails(capsys, "train", "--config", str(path))


def test_flags_go_over_the_config_file(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("run_name: from_file\nmax_steps: 3\nlearning_rate: 1e-3\n")
    command, config = parse(["train", "--config", str(path), "--max_steps", "7"])
    assert (command, config.run_name, config.trainer.max_steps, config.trainer.learning_rate) == (
        "train",
        "from_file",
        7,
        1e-3,
    )


def test_switches_need_no_value():
    _, config = parse(["quickstart", "--json", "--full", "--suite", "x"])
    assert (config.json, config.full, config.suite.names) == (True, True, ["x"])
    _, config = parse(["evaluate", "--stratified", "--no-progress"])
    assert (config.protocol.stratified, config.progress) == (True, False)
    with pytest.raises(UserError, match="unexpected word '3'"):
        parse(["evaluate", "--stratified", "3"])
    with pytest.raises(UserError, match="--stratified takes no value, but is given 'true'"):
        parse(["evaluate", "--stratified=true"])


@pytest.mark.parametrize("action", ["list", "show", "audit", "split"])
def test_a_suite_is_named_by_a_flag_or_behind_the_action(capsys, tmp_path, action):
    folder = str(make_folder(tmp_path))
    main(["suites", action, "--suite", folder])
    by_flag = capsys.readouterr().out
    main(["suites", action, folder])
    assert capsys.readouterr().out == by_flag and ("small" in by_flag or "by_family_0" in by_flag)


def test_a_task_comes_before_a_suite_of_its_name(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kitchen_taste").mkdir()
    main(["suites", "show", "kitchen_taste", "--k", "1"])
    assert capsys.readouterr().out.startswith("kitchen_taste (classification")


def test_a_list_is_several_words_or_one_in_brackets():
    words = ["--tasks", "mood, or so", "--forms=tags", "--allow", "[a, b]", "--folds", "3"]
    _, config = parse(["suites", "export", *words])
    suite = config.suite
    assert (suite.tasks, suite.forms, suite.allow, config.folds) == (["mood, or so"], ["tags"], ["a", "b"], [3])
    assert parse(["evaluate", "--methods", "icl", "--k", "4"])[1].methods == ["icl"]


def test_debug_shows_the_traceback():
    from task_suites.core.errors import UserError

    with pytest.raises(UserError):
        main(["--debug", "models", "pull", "nothing"])


def test_suites_and_models_print_what_there_is(capsys):
    main(["suites", "list"])
    assert "meta_test" in capsys.readouterr().out
    main(["suites", "show"])
    assert capsys.readouterr().out.startswith("embedded  78 tasks  ")
    main(["suites", "show", "court_matter", "--k", "2"])
    assert "Answer:" in capsys.readouterr().out
    main(["models", "list"])
    assert "smollm2-135m" in capsys.readouterr().out
    main(["models", "show"])
    assert "Apache-2.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--format", "letters"], "\nA. "),
        (["--format", "letters", "answer= =>"], " =>"),
        (["--format", "instruction"], "Give the dish its colour."),
        (["--format", "templates", "template=arrow"], "template: arrow (named)"),
        (["--format", 'templates={"mine": "Eat: {{ input }} ||| {{ answer }}"}'], "Eat: "),
        (["--format", '{"choices": "listed"}'], "\n- "),
    ],
    ids=str,
)
def test_a_prompt_is_shown_in_the_format_that_is_named_or_spelt_out(capsys, words, shown):
    main(["suites", "show", "kitchen_taste", "--k", "1", *words])
    assert shown in capsys.readouterr().out


def test_a_named_format_is_a_value_of_every_command_with_a_format():
    _, run = parse(["evaluate", "--format", "natural-instructions", "positive=1"])
    assert run.format == preset("natural-instructions", positive=1)
    for name in PRESETS:
        assert parse(["train", "--format", name])[1].format == preset(name)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "leters"], "no format 'leters'. Did you mean letters"),
        (["--format", "choices=leters"], "Did you mean letters"),
        (["--format", "chanel=true"], "Did you mean channel"),
        (["--format", "templates", "template=arow"], "Did you mean arrow"),
        (["--format", "chat", "--model", "no/such/folder"], "no/such/folder"),
    ],
    ids=str,
)
def test_a_mistake_in_a_format_is_one_clear_line(capsys, words, message):
    assert message in fails(capsys, "suites", "show", "kitchen_taste", *words)


def test_train_then_evaluate_then_predict_and_report(capsys, tmp_path):
    small = ["--max_steps", "2", "--k", "2", "--queries", "2", "--eval_steps", "1"]
    main(["train", "--output_dir", str(tmp_path / "m"), *TINY, *TOYS, *small, "--validation_k", "2"])
    assert "best" in capsys.readouterr().out
    best = tmp_path / "m" / "best"
    protocol = ["--k", "2", "--seeds", "1", "--queries", "3"]
    main(["evaluate", "--output_dir", str(tmp_path / "c"), "--methods", "icl", str(best), *TINY, *TOYS, *protocol])
    out = capsys.readouterr().out
    assert "MetaICL" in out and "Raw ICL" in out
    main(["report", str(tmp_path / "c")])
    assert all(Path(line).is_file() for line in capsys.readouterr().out.splitlines())
    (tmp_path / "d.jsonl").write_text('{"input": "a", "output": "x", "options": ["x", "y"]}\n')
    (tmp_path / "i.jsonl").write_text('{"input": "b", "options": ["x", "y"]}\n')
    files = ["--demos", str(tmp_path / "d.jsonl"), "--inputs", str(tmp_path / "i.jsonl")]
    main(["predict", "--model", str(tmp_path / "m"), *files])
    row = json.loads(capsys.readouterr().out)
    support, query = Example("a", "x", ("x", "y")), Example("b", None, ("x", "y"))
    (scores,) = load_method(best).adapt(user_task([support], ()), [support]).scores([query])
    assert [row["scores"][option] for option in "xy"] == pytest.approx(scores.tolist(), abs=2e-5)
    assert row["answer"] == "xy"[int(scores.argmax())]


def test_interruption_is_said_in_one_line(capsys, monkeypatch):
    import eval.evaluate

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(eval.evaluate, "evaluate_run", interrupted)
    with pytest.raises(SystemExit) as stop:
        main(["evaluate"])
    assert stop.value.code == 130 and "the same command continues" in capsys.readouterr().err


def test_the_module_runs_as_a_program():
    done = subprocess.run([sys.executable, "-m", "metaicl", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0.1.0"
