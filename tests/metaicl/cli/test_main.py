"""The command line: one clear line for each mistake, and the commands run end to end on the tiny model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from commands import fails

from metaicl.cli.main import main, parse
from metaicl.inference.opening import user_task
from metaicl.training.checkpoint import load_method
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.formats.presets import PRESETS
from task_suites.formats.prompt_format import preset

TINY = ["--model", "tiny-random", "--device", "cpu", "--no-progress"]
TOYS = ["--suite", "toys:toy_suite", "--min_train", "1", "--min_test", "1"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "no command 'trian'. Did you mean train"),
        (["train", "--max_stepz", "3"], "unknown option --max_stepz. Did you mean max_steps"),
        (["train", "--learning_rate", "fast"], "learning_rate"),
        (
            ["train", "--max_steps", "0"],
            "max_steps must be at least 1, but is 0. It means: steps of the optimiser",
        ),
        (["train", "--config", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
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
            "--folds needs two numbers; found [3]",
        ),
        (["suites", "list", "--split_file", "hr_to_rl"], "no split 'hr_to_rl'. Did you mean hr_to_lr"),
        (["suites", "audit", "--no-near", "--context", "-5"], "context must be at least 0, but is -5"),
        (["suites", "audit", "--no-near", "--html", "/dev/null/x.html"], "/dev/null/x.html: cannot be written"),
        (["suites", "audit", "--fix", "/dev/null"], "/dev/null: this exists already"),
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


def test_debug_shows_the_traceback():

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


def test_a_named_format_is_a_value_of_every_command_with_a_format():
    _, run = parse(["evaluate", "--format", "natural-instructions", "positive=1"])
    assert run.format == preset("natural-instructions", positive=1)
    for name in PRESETS:
        assert parse(["train", "--format", name])[1].format == preset(name)


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
