"""The rows of data files, whatever their format."""

from __future__ import annotations

import csv
import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from task_suites.core.errors import UserError
from task_suites.sources.rows import FileRows, data_files, fingerprint, names_of

TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=6)
TABLE = st.lists(st.fixed_dictionaries({"a": TEXT, "b": TEXT}), min_size=1, max_size=4)


@given(TABLE)
def test_one_table_is_the_same_rows_in_every_format(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("formats")
    with (folder / "t.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["a", "b"], quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)
    (folder / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "t.json").write_text(json.dumps(rows), encoding="utf-8")
    parquet.write_table(pa.Table.from_pylist(rows), folder / "t.parquet")
    table = pa.Table.from_pylist(rows)
    with pa.OSFile(str(folder / "t.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table)
    for name in ("t.csv", "t.jsonl", "t.json", "t.parquet", "t.arrow"):
        read = FileRows((folder / name,))
        assert [row for _, row in read.read()] == rows, name
        assert [row for _, row in read.read()] == rows, name  # it can be read again


def test_several_files_are_one_table_and_only_wanted_columns_are_read_where_that_is_cheaper(tmp_path):
    for number in (1, 2):
        parquet.write_table(pa.table({"a": [number], "b": ["x"]}), tmp_path / f"{number}.parquet")
    rows = FileRows((tmp_path / "1.parquet", tmp_path / "2.parquet"))
    assert [row for _, row in rows.read(["a"])] == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.csv", "a,a\n1,2\n", ":1: column names repeat or are empty"),
        ("t.csv", "a,b\n1,2\n1\n", ":3: wrong number of cells; found 1; expected 2: a, b"),
        ("t.csv", 'a,b\n"x\ny",2\n\n\n1,2\n', ":4: empty line"),
        ("t.csv", "a,b\r1,2\r", ":1: a CR without LF"),
        ("t.csv", 'a\n"x\n', ":2: not a table"),
        ("t.csv", 'text;label\n"a, b";x\n', ":1: the columns are separated by ';', not by ','. Save"),
        ("t.csv", "text\tlabel\na\tx\n", ":1: the columns are separated by"),
        (
            "t.tsv",
            "text,label\na,x\n",
            ":1: the columns are separated by ',', not by '\\t'. Give the file the ending .csv.",
        ),
        ("t.jsonl", '{"a": 1}\n[1]\n', ":2: not a JSON object"),
        ("t.json", '[{"a": 1}, 2]', "t.json: item 2: not a JSON object"),
        ("t.parquet", "PAR1 and no more", "not readable as Parquet or Arrow"),
        ("t.txt", "a", "no format is known for '.txt'"),
    ],
)
def test_a_row_that_cannot_be_read_is_named_by_its_line(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError) as error:
        list(FileRows((tmp_path / name,)).read())
    assert said in str(error.value)


def test_files_are_sorted_into_splits_by_their_names(tmp_path):
    names = ["train-00001-of-00002.csv", "train-00000-of-00002.csv", "test.csv", "notes.txt", "state.json.bak"]
    assert data_files(tmp_path, names) == {
        "train": ("train-00000-of-00002.csv", "train-00001-of-00002.csv"),
        "test": ("test.csv",),
    }
    with pytest.raises(UserError, match="the split test has files of several formats"):
        data_files(tmp_path, ["test.csv", "test.json"])


def test_class_names_are_found_also_within_lists_and_only_where_they_are_distinct():
    label = {"_type": "ClassLabel", "names": ["a", "b"]}
    assert names_of(label) == names_of([label]) == names_of({"_type": "Sequence", "feature": label}) == ("a", "b")
    assert (
        names_of({"_type": "ClassLabel", "names": ["a", "a"]}) == names_of({"_type": "Value"}) == names_of(None) == ()
    )


def test_a_fingerprint_is_of_the_bytes_of_all_files(tmp_path):
    (tmp_path / "a").write_bytes(b"12")
    (tmp_path / "b").write_bytes(b"3")
    both = fingerprint([tmp_path / "a", tmp_path / "b"])
    assert len(both) == 16 and both != fingerprint([tmp_path / "b", tmp_path / "a"])
