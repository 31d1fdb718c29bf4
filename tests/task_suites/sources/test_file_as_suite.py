"""A file of rows that is named as a suite is refused with names that work, and an empty one is named itself."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from metaicl.cli.main import main
from task_suites import UserError, open_suite
from task_suites.sources import is_suite
from task_suites.sources.rows import ENDINGS, FORMATS

ROWS = [{"text": f"ticket {i}", "queue": ("shipping", "billing")[i % 2]} for i in range(10)]


def write(folder: Path, ending: str, rows: list[dict[str, str]]) -> Path:
    """A file of rows in the format of an ending."""
    path = folder / f"tickets{ending}"
    if ending in (".csv", ".tsv"):
        sign = "," if ending == ".csv" else "\t"
        path.write_text("".join(sign.join(cells) + "\n" for cells in (("text", "queue"), *(r.values() for r in rows))))
    elif ending == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif ending == ".json":
        path.write_text(json.dumps(rows))
    else:
        table = pa.Table.from_pylist(rows, schema=pa.schema([("text", pa.string()), ("queue", pa.string())]))
        if ending == ".parquet":
            parquet.write_table(table, path)
        else:
            with pa.ipc.new_stream(path, table.schema) as out:
                out.write_table(table)
    return path


def refusal(name: str) -> str:
    with pytest.raises(UserError) as raised:
        for task in open_suite(name).tasks.values():
            task.examples("train")
    return str(raised.value)


@pytest.mark.parametrize("scheme", ["", "table:"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_both_ways_out_of_naming_a_file_of_rows_as_a_suite_work(tmp_path, scheme, ending):
    message = refusal(f"{scheme}{write(tmp_path, ending, ROWS)}")
    beside, lines = re.search(r"Write (\S+) with the lines\n(.*)\nand name that", message, re.DOTALL).groups()
    Path(beside).write_text(textwrap.dedent(lines).replace("COLUMN", "text", 1).replace("COLUMN", "queue"))
    named = re.search(r"(table:\S+)\. Or", message)[1]
    in_a_line = re.search(r'"(hf:[^"]+)"', message)[1].replace("COLUMN", "text", 1).replace("COLUMN", "queue")
    for name in (named, in_a_line, in_a_line.replace("labels=*", "labels=billing,shipping")):
        (task,) = open_suite(name).tasks.values()
        assert task.labels == ("billing", "shipping") and len(task.examples("train")) == 8


def test_a_yaml_file_that_is_given_as_a_folder_is_refused_with_its_name(tmp_path):
    path = tmp_path / "mood.yaml"
    path.write_text("train: tickets.csv\n")
    assert refusal(str(path)).endswith(f"A YAML file about a table is named table:{path}.")


def test_a_file_named_to_show_is_taken_for_a_suite(tmp_path, capsys):
    path = write(tmp_path, ".csv", ROWS)
    assert is_suite(str(path))
    with pytest.raises(SystemExit):
        main(["suites", "show", str(path)])
    assert f"no suite at {path}" in capsys.readouterr().err


@pytest.mark.parametrize("labels", ["", "labels: '*'\n", "labels: [billing, shipping]\n"])
@pytest.mark.parametrize("format_", FORMATS)
def test_an_empty_file_is_named_itself_and_the_yaml_as_what_needs_it(tmp_path, format_, labels):
    path, yaml = write(tmp_path, f".{format_}", []), tmp_path / "mood.yaml"
    yaml.write_text(f"train: {path.name}\ninput: text\noutput: queue\n{labels}")
    expected = f"{path}: the table has no rows; expected at least one, for the examples of {yaml}"
    assert refusal(f"table:{yaml}") == expected


def test_too_few_rows_are_said_of_their_file(tmp_path):
    path, yaml = write(tmp_path, ".csv", ROWS[:1]), tmp_path / "mood.yaml"
    yaml.write_text("train: tickets.csv\ninput: text\noutput: queue\n")
    assert refusal(f"table:{yaml}").startswith(f"{path}: too few items for a train and a test part; found 1")
