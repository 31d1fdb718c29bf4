"""Which column of a user's table is the input, and which the answer."""

from __future__ import annotations

import datetime
import json
import math
from pathlib import Path

import pandas
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import Table, parquet
from question_files import queries_of, rows_of

from examples import examples
from metaicl.cli.main import main
from metaicl.inference.input_rows import USUAL_NAMES, ColumnNames, _as_json
from metaicl.inference.questions import read_questions
from metaicl.inference.support import support_of
from task_suites.core.errors import UserError

ROWS = [("good film", "good"), ("bad film", "bad"), ("fine work", "good"), ("awful stuff", "bad")]


def table(path: Path, header: str, *rows: tuple) -> Path:
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n", encoding="utf-8")
    return path


def read(folder: Path, header: str, *rows: tuple, names: ColumnNames = USUAL_NAMES):
    inputs = table(folder / "inputs.csv", header.split(",")[0], ("great one",))
    return read_questions(table(folder / "demos.csv", header, *(rows or ROWS)), inputs, names)


@pytest.mark.parametrize("header", ["input,output", "text,label", "text,answer", "input,label"])
def test_the_usual_names_of_columns_are_found(tmp_path, header):
    questions = read(tmp_path, header)
    assert [(e.input, e.output) for e in questions.support] == ROWS and questions.labels == ("bad", "good")
    assert [q.input for q in queries_of(questions)] == ["great one"]


def test_json_lines_have_the_same_names(tmp_path):
    demos = tmp_path / "demos.jsonl"
    demos.write_text("".join(json.dumps({"text": a, "label": b}) + "\n" for a, b in ROWS), encoding="utf-8")
    assert [(e.input, e.output) for e in read_questions(demos, demos).support] == ROWS


def test_other_columns_of_a_table_of_demonstrations_are_left_out(tmp_path):
    rows = [(str(i), *row) for i, row in enumerate(ROWS)]
    demos = table(tmp_path / "demos.csv", "id,text,label", *rows)
    questions = read_questions(demos, demos)  # a test set with its labels: these are not read, and stay in the rows
    assert [(e.input, e.output) for e in questions.support] == ROWS
    assert rows_of(questions)[1] == {"id": "1", "text": "bad film", "label": "bad"}


def test_columns_of_any_name_are_named(tmp_path, capsys):
    with pytest.raises(UserError, match=r"demos.csv:2: no column for the input; .*--input_column NAME"):
        read(tmp_path, "Review,Mood")
    with pytest.raises(UserError, match=r"no column for the answer; .*--output_column NAME"):
        read(tmp_path, "Review,Mood", names=ColumnNames("Review"))
    questions = read(tmp_path, "Review,Mood", names=ColumnNames("Review", "Mood"))
    assert [(e.input, e.output) for e in questions.support] == ROWS
    paths = ["--demos", str(tmp_path / "demos.csv"), "--inputs", str(tmp_path / "inputs.csv")]
    named = ["--input_column", "Review", "--output_column", "Mood"]
    main(["predict", *paths, *named, "--model", "tiny-random", "--method", "majority"])
    assert json.loads(capsys.readouterr().out).keys() == {"Review", "answer", "scores"}


def test_a_column_that_is_not_there_is_named_with_what_was_meant(tmp_path):
    with pytest.raises(UserError, match=r"demos.csv:2: no column 'Reviews'. Did you mean Review\?"):
        read(tmp_path, "Review,Mood", names=ColumnNames("Reviews", "Mood"))


def test_a_named_column_goes_before_the_usual_one(tmp_path):
    rows = [("an id", text, answer) for text, answer in ROWS]
    questions = read(tmp_path, "text,Review,label", *rows, names=ColumnNames(output="Review"))
    assert [(e.input, e.output) for e in questions.support] == [("an id", text) for text, _ in ROWS]


def test_two_columns_that_may_hold_the_answer_must_be_told_apart(tmp_path):
    rows = [(text, answer, "x") for text, answer in ROWS]
    with pytest.raises(UserError, match=r"two columns may hold the answer; found .*--output_column label"):
        read(tmp_path, "text,label,answer", *rows)
    both = table(tmp_path / "both.csv", "text,label,correct", *rows)
    assert len(queries_of(read_questions(both, both))) == 4


def test_classes_of_a_parquet_file_have_their_names_and_numbers_are_texts(tmp_path):
    features = Features({"text": Value("string"), "label": ClassLabel(names=["bad", "good"])})
    numbers = [1, 0, 1, 0]
    rows = {"text": [text for text, _ in ROWS], "label": numbers}
    Dataset.from_dict(rows, features).to_parquet(tmp_path / "named.parquet")
    assert [e.output for e in read_questions(*[tmp_path / "named.parquet"] * 2).support] == [b for _, b in ROWS]
    parquet.write_table(Table.from_pydict(rows), tmp_path / "plain.parquet")
    assert [e.output for e in read_questions(*[tmp_path / "plain.parquet"] * 2).support] == ["1", "0", "1", "0"]


def test_cells_that_json_lacks_are_repeated_as_text(tmp_path):
    demos = table(tmp_path / "demos.csv", "text,label", *ROWS)
    rows = [{"text": "great one", "day": datetime.date(2026, 11, 30), "n": 2}]
    parquet.write_table(Table.from_pylist(rows), tmp_path / "inputs.parquet")
    (row,) = rows_of(read_questions(demos, tmp_path / "inputs.parquet"))
    assert json.loads(json.dumps(row)) == {"text": "great one", "day": "2026-11-30", "n": 2}


CELLS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats()
    | st.text(max_size=3)
    | st.binary(max_size=3)
    | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=5,
)


@examples(100)
@given(CELLS)
def test_every_cell_of_a_table_is_written_as_json(value):
    written = json.loads(json.dumps(_as_json(value), allow_nan=False))
    assert (written is None) == (value is None or value != value)
    if isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        assert written == value
    if isinstance(value, (list, dict)):
        assert len(written) == len(value)


def test_a_list_in_a_json_file_is_read_as_json_lines_are(tmp_path):
    rows = [{"text": a, "label": b} for a, b in ROWS]
    (tmp_path / "list.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    (tmp_path / "lines.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = [[row for _, *row in USUAL_NAMES.read(tmp_path / name, True)] for name in ("list.json", "lines.jsonl")]
    assert found[0] == found[1] and len(found[0]) == len(ROWS)


@pytest.mark.parametrize("cells", [["a", None], ["a", ""]])
@pytest.mark.parametrize("name", ["input", "output"])
def test_an_empty_cell_is_named_as_one(tmp_path, cells, name):
    other = "output" if name == "input" else "input"
    Dataset.from_dict({name: cells, other: ["x", "y"]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(UserError, match=rf"row 2: the {name} is empty; found ''"):
        support_of(((where, row) for where, _, row in USUAL_NAMES.read(tmp_path / "t.parquet", True)), "t")


@examples(40)
@given(
    st.sampled_from(
        [[0, 1], [1.0, 2.0], [-3, 7], [True, False], ["yes", "no"], ["01", "1"], ["1.5", "2"], ["NA", "null"]]
    ),
    st.lists(st.booleans(), min_size=3, max_size=6),
)
def test_labels_are_the_same_from_every_kind_of_table(tmp_path_factory, pair, which):
    folder = tmp_path_factory.mktemp("tables")
    frame = pandas.DataFrame(
        {"text": [f"t{i}" for i in range(len(which) + 2)], "label": [pair[w] for w in (0, 1, *which)]}
    )
    frame.to_csv(folder / "t.csv", index=False)
    frame.to_csv(folder / "t.tsv", index=False, sep="\t")
    frame.to_parquet(folder / "t.parquet")
    (folder / "inputs.csv").write_text("text\na\n")
    found = [read_questions(folder / f"t.{kind}", folder / "inputs.csv") for kind in ("csv", "tsv", "parquet")]
    assert found[0].labels == found[1].labels == found[2].labels and len(found[0].labels) == 2
    assert [e.output for e in found[0].support] == [e.output for e in found[2].support]


def test_free_text_of_a_table_stays_as_it_is(tmp_path):
    demos = table(tmp_path / "demos.csv", "input,output", ("half of 4", "2.0"), ("is it", "True"), ("sum", "3"))
    questions = read_questions(demos, table(tmp_path / "inputs.csv", "input", ("x",)))
    assert [e.output for e in questions.support] == ["2.0", "True", "3"] and questions.labels == ()


@pytest.mark.parametrize("options", ['"[""a mop"", ""a rake""]"', "a mop|a rake"])
def test_a_table_of_text_may_hold_options_as_json_or_between_bars(tmp_path, options):
    rows = ("The floor is wet.", "a mop", options), ("The lawn has leaves.", "a rake", options)
    demos = table(tmp_path / "demos.csv", "input,output,options", *rows)
    inputs = table(tmp_path / "inputs.csv", "input,options", ("A puddle.", options))
    questions = read_questions(demos, inputs)
    assert {e.options for e in (*questions.support, *queries_of(questions))} == {("a mop", "a rake")}


def test_a_table_of_text_may_hold_tokens_and_tags_as_json(tmp_path):
    demos = table(tmp_path / "demos.csv", "tokens,tags", ("to Oslo", "O B-city"), ('"[""in"", ""Rome""]"', "O B-city"))
    inputs = table(tmp_path / "inputs.csv", "tokens", ('"[""from"", ""Turin""]"',))
    questions = read_questions(demos, inputs)
    assert [e.tokens for e in (*questions.support, *queries_of(questions))] == [
        ("to", "Oslo"),
        ("in", "Rome"),
        ("from", "Turin"),
    ]
