"""`suites list` and `suites show` say where the labels of a table seem to be forgotten."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from commands import fails
from helpers import make_folder
from hypothesis import example, given
from hypothesis import strategies as st

from metaicl.cli.main import main
from task_suites.describe import forgotten_labels
from task_suites.sources import SuiteConfig

FREE = "train: tickets.csv\ninput: text\noutput: queue\n"
NOTE = 'tickets: 3 different outputs in 30 rows: for classification add labels: "*"'


def table(folder: Path, rows: int, different: int, keys: str = FREE) -> str:
    lines = [f"ticket {i},queue {i % different}\n" for i in range(rows)]
    (folder / "tickets.csv").write_text("".join(["text,queue\n", *lines]))
    (folder / "tickets.yaml").write_text(keys)
    return f"table:{folder / 'tickets.yaml'}"


def notes(*names: str) -> list[str]:
    return forgotten_labels(SuiteConfig(list(names)).choose())


@given(rows=st.integers(2, 60), different=st.integers(1, 30))
@example(rows=10, different=2)
@example(rows=40, different=20)
@example(rows=42, different=21)
def test_a_free_text_table_with_few_different_outputs_gets_a_note(rows, different):
    with TemporaryDirectory() as folder:
        found = notes(table(Path(folder), rows, different))
    few = rows >= 10 and 2 <= different <= 20 and rows >= 2 * different
    wanted = f'tickets: {different} different outputs in {rows} rows: for classification add labels: "*"'
    assert found == ([wanted] if few else [])


def test_following_the_note_ends_it_and_makes_a_task_of_classification(tmp_path):
    assert notes(table(tmp_path, 30, 3)) == [NOTE]
    name = table(tmp_path, 30, 3, FREE + 'labels: "*"\n')
    assert notes(name) == [] and SuiteConfig([name]).choose()["tickets"].labels == ("queue 0", "queue 1", "queue 2")


def test_a_table_in_a_line_gets_the_note_in_its_own_words(tmp_path):
    table(tmp_path, 30, 3)
    name = f"hf:{tmp_path / 'tickets.csv'}?input=text&output=queue"
    (note,) = notes(name)
    assert note.endswith("for classification add labels=*") and notes(f"{name}&labels=*") == []


def test_a_table_of_a_mixture_gets_the_note_and_other_sources_get_none(tmp_path):
    folder = str(make_folder(tmp_path / "small"))
    assert notes(folder, table(tmp_path, 30, 3)) == [NOTE] and notes("embedded") == []


def test_summaries_are_free_text(tmp_path):
    assert notes(table(tmp_path, 30, 3, FREE + "metric: rouge_l\n")) == []


@pytest.mark.parametrize("words", [["list"], ["show"], ["show", "tickets"]])
def test_the_note_stands_beside_what_is_listed_and_shown(tmp_path, capsys, words):
    main(["suites", *words, "--suite", table(tmp_path, 30, 3)])
    printed = capsys.readouterr()
    assert printed.err == f"note: {NOTE}\n" and "tickets" in printed.out


def test_an_audit_says_it_too(tmp_path, capsys):
    main(["suites", "audit", table(tmp_path, 30, 3)])
    assert f"note: {NOTE}" in capsys.readouterr().err


def test_a_list_finds_a_column_that_is_not_there(tmp_path, capsys):
    keys = FREE.replace("input: text", "input: txt") + 'labels: ["queue 0", "queue 1"]\n'
    told = fails(capsys, "suites", "list", table(tmp_path, 30, 2, keys))
    assert "tickets.csv:2: no column 'txt'. Did you mean text?" in told


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ('"*"', r"tickets.csv:32: two labels differ only by blanks or case.*labels: {\"queue 1 \": WORD"),
        ('["queue 0", "queue 1"]', r"tickets.csv:32: the answer is not one of the labels; found output 'queue 1 '"),
    ],
)
def test_a_label_with_a_blank_at_its_end_is_named_with_its_row(tmp_path, capsys, labels, said):
    name = table(tmp_path, 30, 2, f"{FREE}labels: {labels}\n")
    with (tmp_path / "tickets.csv").open("a") as rows:
        rows.write("one more,queue 1 \n")
    assert re.search(said, fails(capsys, "suites", "list", name))


def test_a_training_on_a_single_table_says_where_sides_are_given(tmp_path, capsys):
    name = table(tmp_path, 30, 2, FREE + 'labels: "*"\n')
    told = fails(capsys, "train", "--suite", name, "--model", "tiny-random", "--output_dir", str(tmp_path / "run"))
    assert "no meta-training task" in told and "`splits` in the suite's YAML" in told and "suite.yaml" not in told
