"""The method and the source in examples/ pass the checks, and run through the commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metaicl.cli.main import main
from metaicl.testing import check_method, check_source

ROOT = Path(__file__).resolve().parents[1]
METHOD, SOURCE = "word_overlap:WordOverlap", "arithmetic:numbers"


@pytest.fixture(autouse=True)
def in_the_folder(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))


def test_they_are_short():
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "examples").glob("*.py")}
    assert lines["word_overlap.py"] <= 60 and lines["arithmetic.py"] <= 40


def test_they_pass_the_checks():
    check_method(METHOD)
    assert len(check_source(SOURCE).tasks) == 4


def test_they_run_through_the_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model = ["--model", "tiny-random", "--device", "cpu"]
    main(["train", "--suite", SOURCE, "--method", METHOD, *model, "--max_steps", "2", "--k", "4", "--no-progress"])
    compared = ["--methods", "icl", "runs/WordOverlap", "--highlight", "WordOverlap", "--k", "4", "--seeds", "2"]
    main(["evaluate", "--suite", SOURCE, *model, *compared, "--queries", "4", "--run_name", "both", "--no-progress"])
    assert (tmp_path / "runs" / "both" / "report.html").is_file()
    rows = [
        {"input": f"{text} {i}", "output": answer} for i in range(2) for text, answer in (("a b", "x"), ("c d", "y"))
    ]
    (tmp_path / "demos.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "inputs.jsonl").write_text('{"input": "b a"}\n')
    capsys.readouterr()
    main(["predict", "--model", "runs/WordOverlap", "--demos", "demos.jsonl", "--inputs", "inputs.jsonl"])
    assert json.loads(capsys.readouterr().out)["answer"] == "x"
