"""`metaicl predict` writes its answers to standard output, or to a file and nothing but its progress beside it."""

from __future__ import annotations

import json

from metaicl.cli import predict
from metaicl.cli.main import main

WORDS = ["predict", "--demos", "d.jsonl", "--inputs", "i.jsonl"]
ROWS = [{"input": "caffè", "answer": "a"}, {"input": "b\nc", "answer": None}]


def answered(monkeypatch) -> list:
    """Let the command answer these rows; return the configuration that it is given."""
    asked = []

    def rows(config, note):
        asked.append(config)
        note("a note")
        yield from ROWS

    monkeypatch.setattr(predict, "run_prediction", rows)
    return asked


def test_each_answer_is_one_line_of_json_and_notes_go_beside_it(capsys, monkeypatch):
    answered(monkeypatch)
    main(WORDS)
    said = capsys.readouterr()
    assert [json.loads(line) for line in said.out.splitlines()] == ROWS
    assert said.err == "a note\n"


def test_with_an_output_all_rows_are_taken_and_none_is_printed(capsys, monkeypatch, tmp_path):
    asked = answered(monkeypatch)
    main([*WORDS, "--output", str(tmp_path / "out.jsonl")])
    assert capsys.readouterr().out == ""
    assert asked[0].output == tmp_path / "out.jsonl"
