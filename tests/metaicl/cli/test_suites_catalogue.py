"""`metaicl suites list tasksource:` prints the catalogue, without a data set of the hub."""

from __future__ import annotations

import pytest

from metaicl.cli.main import main
from task_suites.core.errors import UserError


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> list[list[str]]:
    main(["suites", "list", *words])
    head, names, *lines = capsys.readouterr().out.splitlines()
    assert names.split()[0] == "side"
    assert head.split()[1] == str(len(lines))
    return [line.split() for line in lines]


def test_filters_choose_from_the_catalogue(capsys, monkeypatch):
    monkeypatch.setattr("datasets.load_dataset", None)  # nothing is downloaded
    monkeypatch.setenv("COLUMNS", "400")
    rows = listed(capsys, "tasksource:", "--kind", "classification", "--language", "en")
    assert len(rows) > 400 and {row[2] for row in rows} == {"classification"} and {row[4] for row in rows} == {"en,"}
    named = listed(capsys, "--suite", "tasksource:?language=de", "--kind", "multiple_choice", "tagging")
    assert {row[2] for row in named} == {"multiple_choice", "tagging"}
    free = listed(capsys, "tasksource:glue:*", "--licence", "unspecified", "commercial")
    assert any(row[1] == "glue:mnli" for row in free)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["embedded", "--kind", "tagging"], r"--kind works only with suites tasksource:...; found embedded. .*--tasks"),
        (["tasksource:", "--language", "xx"], "option language: no task has 'xx'"),
    ],
)
def test_a_filter_that_chooses_nothing_is_named(words, message):
    with pytest.raises(UserError, match=message):
        main(["--debug", "suites", "list", *words])
