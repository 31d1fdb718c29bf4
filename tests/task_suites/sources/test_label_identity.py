"""A label is the same label in every kind of file, and what a number means is said, never guessed."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from examples import examples
from task_suites import from_lists
from task_suites.core.errors import UserError
from task_suites.example import labels_problem
from task_suites.sources import open_suite
from task_suites.task import Task

FILES = ("x.csv", "x.jsonl", "x.json", "x.parquet")
AWKWARD = [
    "0",
    "1",
    "-1",
    "no",
    "yes",
    "None",
    "NA",
    "nan",
    "null",
    "true",
    "False",
    "~",
    "1.0",
    "01",
    "a, b",
    '"',
    "#",
    "é",
]
COLUMNS = (
    st.lists(st.sampled_from(AWKWARD) | st.text("ab \u2028'", min_size=1, max_size=4), min_size=4, max_size=8)
    | st.lists(st.integers(-3, 12), min_size=4, max_size=8)
    | st.lists(st.booleans(), min_size=4, max_size=8)
)


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    if path.suffix == ".csv":
        text = io.StringIO()
        out = csv.DictWriter(text, list(rows[0]), lineterminator="\r\n")
        out.writeheader()
        out.writerows([{k: json.dumps(v) if isinstance(v, (bool, int)) else v for k, v in row.items()} for row in rows])
        path.write_bytes(text.getvalue().encode())
    elif path.suffix == ".jsonl":
        path.write_bytes("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    else:
        parquet.write_table(pa.Table.from_pylist(rows), path)


def from_file(folder: Path, file: str, values: list[Any], labels: Any, **keys: Any) -> Task:
    rows = [{"text": f"item {i}", "label": value} for i, value in enumerate(values)]
    write_rows(folder / file, rows)
    config = {"train": file, "test": file, "input": "text", "output": "label", "labels": labels, "name": "x", **keys}
    (folder / "x.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return open_suite(f"table:{folder / 'x.yaml'}")["x"]


def from_python(values: list[Any], labels: Any) -> Task:
    texts = [f"item {i}" for i in range(len(values))]
    return from_lists("x", texts, values, texts, values, label_names=None if labels == "*" else labels)


def outcome(make: Any) -> Any:
    """Labels and examples, or that the labels are refused."""
    try:
        task = make()
        return task.labels, list(task.examples("train")), list(task.examples("test"))
    except UserError:
        return "refused"


@examples(40)
@given(COLUMNS, st.booleans())
def test_one_table_gives_one_task_in_every_kind_of_file(tmp_path_factory, values, mapped):
    folder = tmp_path_factory.mktemp("table")
    labels = {value: f"word {i // 2}" for i, value in enumerate(dict.fromkeys(values))} if mapped else "*"
    outcomes = [outcome(lambda f=f: from_file(folder, f, values, labels)) for f in FILES]
    outcomes.append(outcome(lambda: from_python(values, labels)))
    assert all(found == outcomes[0] for found in outcomes), outcomes
    texts = [json.dumps(v) if isinstance(v, (bool, int)) else v for v in values]
    if not mapped and len(set(texts)) > 1 and labels_problem(sorted(set(texts))) is None:
        assert [e.output for e in outcomes[0][1]] == texts


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    ("values", "words"), [([0, 1, 0, 1], ["bad", "good"]), ([1, 2, 3, 4], ["a", "b", "c", "d", "e"])]
)
def test_a_number_is_never_a_place_in_a_list_of_labels_and_the_shown_maps_say_what_it_is(tmp_path, file, values, words):
    for unsound in ("refuse", "skip"):
        with pytest.raises(UserError, match=rf"{file}.* a number stands for no label; found {values[0]}") as raised:
            from_file(tmp_path, file, values, words, unsound=unsound).examples("train")
    with pytest.raises(UserError, match=r"a number stands for no label.*label_names=\{0: "):
        from_python(values, words)
    maps = [yaml.safe_load(part.split(" where")[0]) for part in str(raised.value).split("labels: ")[1:]]
    assert [min(m) for m in maps] == [1, 0]
    right = next(m for m in maps if set(values) <= set(m))
    task = from_file(tmp_path, file, values, right)
    assert [e.output for e in task.examples("train")] == [right[v] for v in values]
    assert list(from_python(values, right).examples("train")) == list(task.examples("train"))


@pytest.mark.parametrize("file", FILES)
def test_a_boolean_is_matched_by_a_boolean_key_and_else_answered_with_a_map(tmp_path, file):
    values = [True, False, True, False]
    task = from_file(tmp_path, file, values, {True: "right", False: "wrong"})
    assert [e.output for e in task.examples("train")] == ["right", "wrong"] * 2
    with pytest.raises(UserError, match="a boolean stands for no label") as raised:
        from_file(tmp_path, file, values, ["wrong", "right"]).examples("train")
    shown = yaml.safe_load("{" + str(raised.value).split("{")[1].rstrip("."))
    assert [e.output for e in from_file(tmp_path, file, values, shown).examples("train")] == ["right", "wrong"] * 2


def test_words_that_yaml_reads_as_booleans_are_answered_with_quotes(tmp_path):
    with pytest.raises(UserError, match=r"labels has no word for a value; found 'yes'.*in quotes: YAML reads yes"):
        from_file(tmp_path, "x.csv", ["yes", "no", "yes", "no"], {True: "good", False: "bad"}).examples("train")
    task = from_file(tmp_path, "x.csv", ["yes", "no", "yes", "no"], {"yes": "good", "no": "bad"})
    assert [e.output for e in task.examples("train")] == ["good", "bad"] * 2


@pytest.mark.parametrize("file", FILES)
def test_a_number_names_an_option_only_by_option_keys(tmp_path, file):
    keys = {"train": file, "test": file, "input": "q", "output": "a", "options": ["x", "y"], "name": "x"}
    write_rows(tmp_path / file, [{"q": f"q{i}", "a": 1, "x": "that", "y": "this"} for i in range(3)])
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(keys))
    with pytest.raises(UserError, match="a number is not the name of an option; found 1") as raised:
        open_suite(f"table:{path}")["x"].examples("train")
    for start, right in (("0", "this"), ("1", "that")):
        shown = next(p for p in str(raised.value).split("option_keys: ")[1:] if p.startswith(f'["{start}"'))
        path.write_text(yaml.safe_dump({**keys, "option_keys": yaml.safe_load(shown.split("]")[0] + "]")}))
        assert open_suite(f"table:{path}")["x"].examples("train")[0].output == right


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a", "b", "", "a"], "the output is empty"),
        (["a", "b", " ", "a"], "the output is empty"),
        (["a", "b\nc", "a", "a"], "a label has several lines"),
        (["good", "bad", "Good", "bad"], "two labels differ only by blanks or case"),
        (["good", "bad", " good", "bad"], "two labels differ only by blanks or case"),
        (["caf\u00e9", "cafe\u0301", "bar", "bar"], "two labels look the same"),
        (["good", "good\u200b", "bad", "bad"], "two labels look the same"),
    ],
)
def test_labels_that_would_be_taken_for_each_other_are_refused(tmp_path, file, values, message):
    with pytest.raises(UserError, match=message):
        from_file(tmp_path, file, values, "*")


@pytest.mark.parametrize(
    "labels", [{None: "a", "x": "b"}, {1: "a", "1": "b"}, ["a", " "], ["a", "A"], ["a", "b\nc"], [1, 2]]
)
def test_a_list_or_map_of_labels_that_means_two_things_is_refused(tmp_path, labels):
    with pytest.raises(UserError, match="label"):
        from_file(tmp_path, "x.csv", ["x", "1", "x", "1"], labels).examples("train")
