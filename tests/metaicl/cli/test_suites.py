"""`metaicl suites`: how a suite and a task are named, and how a prompt is shown."""

from __future__ import annotations

import pytest
from commands import fails
from helpers import make_folder

from metaicl.cli.main import main
from metaicl.cli.suites import READ_BY


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


def test_every_option_of_suites_that_one_action_reads_is_an_option():
    from dataclasses import fields

    from metaicl.cli.suites import FILTERS, Suites

    assert set(READ_BY) < {f.name for f in fields(Suites)}
    assert {f.name for f in fields(Suites)} - set(READ_BY) == {"action", "task", "suite", *FILTERS}
