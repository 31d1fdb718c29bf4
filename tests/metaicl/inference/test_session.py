"""`metaicl try`: demonstrations and queries by the terminal or a pipe."""

from __future__ import annotations

import io
import re
import sys

import pytest
from commands import fails

from metaicl.cli.main import main

DEMOS = ["a fig => fruit", "a saw => tool", "a pear => fruit", "an axe => tool", ""]


def said(monkeypatch, capsys, *lines: str, method: str = "knn") -> str:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines) + "\n"))
    main(["try", "--model", "tiny-random", "--method", method])
    return capsys.readouterr().out


def test_queries_are_answered_with_bars_and_explained(monkeypatch, capsys):
    out = said(monkeypatch, capsys, *DEMOS, "a fig", "? a saw", "")
    assert "fruit" in out and "█" in out and "-> 'tool'" in out and "tool: a saw" in out


def test_mistakes_are_said_and_the_talk_goes_on(monkeypatch, capsys):
    out = said(monkeypatch, capsys, "no arrow", *DEMOS, "+ nothing", "+ a toad => animal", "a toad")
    assert out.count("not a demonstration") == 2 and "animal" in out.splitlines()[-3]


def test_an_input_with_an_answer_is_a_demonstration_among_the_queries_too_and_is_said_to_be(monkeypatch, capsys):
    out = said(monkeypatch, capsys, *DEMOS, "a toad => animal", "a toad", "? a newt => animal", "")
    assert "5 demonstrations now." in out and "6 demonstrations" not in out
    assert next(line.split()[0] for line in out.splitlines() if "█" in line) == "animal"


def test_a_demonstration_that_is_refused_is_not_there_for_the_next(monkeypatch, capsys):
    out = said(monkeypatch, capsys, *DEMOS, "a plum => Fruit", "a plum => fruit", "")
    assert "two labels differ only by blanks or case" in out and "5 demonstrations now." in out


def test_answers_that_all_differ_are_said_to_be_free_text(monkeypatch, capsys):
    out = said(monkeypatch, capsys, "1 => one", "2 => two", "", "3", method="icl")
    assert "█" not in out and "all have different answers, so answers are generated as free text" in out


def test_a_label_that_repeats_makes_a_classification_as_the_note_says(monkeypatch, capsys):
    out = said(monkeypatch, capsys, "1 => one", "2 => two", "", "+ 11 => one", "3", method="icl")
    assert "show at least two labels, one of them twice" in out and "█" in out


def test_no_demonstrations_are_an_error(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        said(monkeypatch, capsys, "")
    form = re.search(r"no demonstrations[\s\S]*form (INPUT => ANSWER)", capsys.readouterr().err)[1]
    assert "█" in said(monkeypatch, capsys, *[form] * 2, f"x{form}x", "", "x")  # what it advises is taken


def test_a_line_that_is_not_utf_8_is_an_error(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9 => a\n"), "utf-8"))
    assert "not UTF-8; found b'\\xe9'" in fails(capsys, "try", "--model", "tiny-random")
