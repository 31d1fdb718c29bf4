"""Plain tables by a YAML file: each format gives the same examples, and each mistake one error that says where."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from examples import examples
from task_suites import Example, UserError, open_suite
from task_suites.sources.layouts import divided
from task_suites.sources.row_template import render
from task_suites.sources.rows import FileRows

ROWS = [{"text": f'Soup {i}, was it "fine"?\nYes', "mood": ["good", "bad"][i % 2]} for i in range(6)]
LABELS = ("good", "bad")
EXPECTED = [Example(r["text"], r["mood"], LABELS) for r in ROWS]
KEYS = {"input": "text", "output": "mood", "labels": list(LABELS), "train": "train.csv", "test": "train.csv"}


def csv_text(rows: list[dict[str, str]]) -> str:
    def cell(value: str) -> str:
        return '"' + value.replace('"', '""') + '"'

    return "".join(",".join(map(cell, r)) + "\r\n" for r in [list(rows[0]), *(list(r.values()) for r in rows)])


def write(folder: Path, keys: dict, **files: str | bytes) -> str:
    """The suite name of a YAML with these keys beside these files (`train_csv` is train.csv)."""
    for name, content in files.items():
        path = folder / name.replace("_", ".")
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (folder / "mood.yaml").write_text(yaml.safe_dump(keys), encoding="utf-8")
    return f"table:{folder / 'mood.yaml'}"


def error_of(name: str) -> str:
    with pytest.raises(UserError) as raised:
        for task in open_suite(name).tasks.values():
            task.examples("train")
            task.examples("test")
    return str(raised.value)


def parquet_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def arrow_bytes(table: pa.Table, writer=pa.ipc.new_stream) -> bytes:
    sink = pa.BufferOutputStream()
    with writer(sink, table.schema) as out:
        out.write_table(table)
    return sink.getvalue().to_pybytes()


FORMS = {
    "train.csv": csv_text(ROWS),
    "train.jsonl": "".join(json.dumps(r) + "\n" for r in ROWS),
    "train.json": json.dumps(ROWS, indent=1),
    "train.parquet": parquet_bytes(pa.Table.from_pylist(ROWS)),
    "train.arrow": arrow_bytes(pa.Table.from_pylist(ROWS)),
    "file.arrow": arrow_bytes(pa.Table.from_pylist(ROWS), pa.ipc.new_file),
}


@pytest.mark.parametrize("file", FORMS)
def test_each_format_gives_the_same_examples(tmp_path, file):
    name = write(tmp_path, {**KEYS, "train": file, "test": file}, **{file.replace(".", "_"): FORMS[file]})
    task = open_suite(name)["mood"]
    assert list(task.examples("train")) == EXPECTED
    assert (task.type, task.metric, task.labels) == ("classification", "accuracy", LABELS)


def test_tsv_has_no_quotes_unless_it_is_said(tmp_path):
    name = write(tmp_path, {**KEYS, "train": "a.tsv", "test": "a.tsv"}, a_tsv='text\tmood\n"fine\tgood\n')
    assert open_suite(name)["mood"].examples("train")[0].input == '"fine'
    keys = {**KEYS, "train": "a.tsv", "test": "a.tsv", "quotes": True}
    name = write(tmp_path, keys, a_tsv='text\tmood\n"fine\tday"\tgood\n')
    assert open_suite(name)["mood"].examples("train")[0].input == "fine\tday"


def test_a_file_without_a_header_takes_its_columns_from_the_yaml(tmp_path):
    keys = {**KEYS, "columns": ["mood", "text"], "delimiter": ";"}
    name = write(tmp_path, keys, train_csv="good;fine\nbad;foul\n")
    assert open_suite(name)["mood"].examples("test")[1] == Example("foul", "bad", LABELS)


def test_several_files_are_read_one_after_the_other(tmp_path):
    name = write(
        tmp_path,
        {**KEYS, "train": ["a.csv", "b.csv"], "test": "a.csv"},
        a_csv="text,mood\na,good\n",
        b_csv="text,mood\nb,bad\n",
    )
    assert [e.input for e in open_suite(name)["mood"].examples("train")] == ["a", "b"]


@pytest.mark.parametrize(
    ("labels", "cells", "words"),
    [
        ({"0": "bad", 1: "good"}, ["0", "1"], ["bad", "good"]),
        ({0: "bad", 1: "good"}, [0, 1], ["bad", "good"]),
        ("*", ["x", "y"], ["x", "y"]),
        ({True: "yes", False: "no"}, [True, False], ["yes", "no"]),
        ({"1": "low", "2": "low", "3": "high"}, [1.0, 3.0], ["low", "high"]),
    ],
)
def test_labels_are_words_numbers_a_map_or_taken_from_the_data(tmp_path, labels, cells, words):
    lines = "".join(json.dumps({"text": f"t{i}", "mood": c}) + "\n" for i, c in enumerate(cells))
    name = write(tmp_path, {**KEYS, "labels": labels, "train": "a.jsonl", "test": "a.jsonl"}, a_jsonl=lines)
    assert [e.output for e in open_suite(name)["mood"].examples("train")] == words


@pytest.mark.parametrize(
    ("keys", "row"),
    [
        ({"options": "choices"}, {"q": "Why?", "a": "this", "choices": ["that", "this"]}),
        ({"options": "choices", "option_keys": [0, 1]}, {"q": "Why?", "a": 1, "choices": ["that", "this"]}),
        ({"options": "choices"}, {"q": "Why?", "a": "this", "choices": "that | this"}),
        ({"options": ["x", "y"], "option_keys": ["A", "B"]}, {"q": "Why?", "a": "B", "x": "that", "y": "this"}),
        (
            {"options": "choices.text", "option_keys": "choices.label"},
            {"q": "Why?", "a": "B", "choices": {"text": ["that", "this"], "label": ["A", "B"]}},
        ),
    ],
)
def test_options_of_a_row_come_in_a_list_in_columns_or_with_keys(tmp_path, keys, row):
    keys = {"input": "q", "output": "a", **keys, "train": "a.jsonl", "test": "a.jsonl"}
    task = open_suite(write(tmp_path, keys, a_jsonl=json.dumps(row) + "\n"))["mood"]
    assert task.examples("train") == (Example("Why?", "this", ("that", "this")),)
    assert task.type == "multiple_choice"


def test_free_text_and_tags_and_templates(tmp_path):
    row = {"a": "one", "b": "two", "out": ["x", "y"], "more": ["z", "x"], "w": ["Zoë", "left"], "t": [1, 0]}
    keys = {"input": "{{a}} / {{b|upper}}", "output": "out", "accepted": "more", "train": "a.jsonl", "test": "a.jsonl"}
    task = open_suite(write(tmp_path, keys, a_jsonl=json.dumps(row) + "\n"))["mood"]
    assert task.examples("test") == (Example("one / TWO", "x", accepted=("y", "z")),)
    assert (task.type, task.metric) == ("generation", "exact_match")
    keys = {"tokens": "w", "tags": "t", "labels": {"0": "O", "1": "B-PER"}, "train": "a.jsonl", "test": "a.jsonl"}
    task = open_suite(write(tmp_path, keys, a_jsonl=json.dumps(row) + "\n"))["mood"]
    assert task.examples("test") == (Example(tokens=("Zoë", "left"), tags=("B-PER", "O")),)
    assert (task.type, task.metric) == ("tagging", "span_f1")


def test_one_file_is_divided_by_the_seed_and_the_text_and_not_by_the_order(tmp_path):
    rows = [{"text": f"t{i // 2}", "mood": LABELS[i % 2]} for i in range(40)]  # each text twice
    parts = []
    for order in (rows, rows[::-1]):
        keys = {k: v for k, v in {**KEYS, "test_share": 0.25, "seed": 3}.items() if k != "test"}
        task = open_suite(write(tmp_path, keys, train_csv=csv_text(order)))["mood"]
        parts.append({part: {e.input for e in task.examples(part)} for part in ("train", "test")})
    assert parts[0] == parts[1] and len(parts[0]["test"]) == 5 and not parts[0]["test"] & parts[0]["train"]
    other = open_suite(write(tmp_path, {**keys, "seed": 4}, train_csv=csv_text(rows)))["mood"]
    assert {e.input for e in other.examples("test")} != parts[0]["test"]


@given(st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=30), st.floats(0.01, 0.99), st.integers())
def test_a_division_keeps_all_items_and_equal_ones_together(texts, share, seed):
    examples = [Example(text, "x") for text in texts]
    if len(set(texts)) < 2:
        return
    parts = divided(examples, share, "here", seed)
    train, test = ({e.input for e in parts[part]} for part in ("train", "test"))
    assert train and test and not train & test
    assert sorted(e.input for e in parts["train"] + parts["test"]) == sorted(texts)


def test_streaming_reads_the_first_rows_alone(tmp_path):
    broken = csv_text(ROWS) + "one cell\n"
    name = write(tmp_path, {**KEYS, "streaming": 3}, train_csv=broken)
    assert list(open_suite(name)["mood"].examples("train")) == EXPECTED[:3]


def test_one_yaml_holds_several_tasks_and_the_split(tmp_path):
    keys = {
        "name": "small",
        "description": "two",
        "tasks": {"one": {**KEYS, "instruction": "Rate it.", "source": "a"}, "two": {**KEYS, "source": "b"}},
        "splits": {"meta_train": ["one"], "meta_test": ["two"]},
    }
    suite = open_suite(write(tmp_path, keys, train_csv=csv_text(ROWS)))
    assert (suite.name, suite.description) == ("small", "two")
    assert [t.name for t in suite.split("meta_train")] == ["one"] and suite["one"].instruction == "Rate it."
    keys["tasks"]["two"]["source"] = "a"
    assert "family a is on two sides" in error_of(write(tmp_path, keys))


def test_unsound_rows_are_an_error_or_left_out(tmp_path):
    text = "text,mood\nfine,good\n,bad\nfoul,bad\n"
    assert "train.csv:3: the input is empty" in error_of(write(tmp_path, KEYS, train_csv=text))
    name = write(tmp_path, {**KEYS, "unsound": "skip"}, train_csv=text)
    assert [e.input for e in open_suite(name)["mood"].examples("train")] == ["fine", "foul"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": "text"}, "mood.yaml: unknown key 'inputs'. Did you mean input"),
        ({"input": "txet"}, "train.csv:2: no column 'txet'. Did you mean text?"),
        ({"input": None}, "mood.yaml: the column of input or of output is not named; expected both"),
        ({"labels": ["yes", True]}, "a label is not text; found True"),
        ({"labels": ["good", "sad"]}, "the answer is not one of the labels; found output 'bad'"),
        ({"labels": {"good": "g", "sad": "s"}}, "labels has no word for a value; found 'bad'"),
        ({"labels": "good"}, "labels has a wrong value"),
        ({"train": "../train.csv"}, "not a name within the folder: '../train.csv'"),
        ({"train": "/etc/passwd"}, "not a name within the folder: '/etc/passwd'"),
        ({"train": "trian.csv"}, "trian.csv: there is no such file"),
        ({"train": "mood.yaml"}, "no format is known for '.yaml'"),
        ({"train": "t" * 5000 + ".csv"}, ".csv: cannot be followed (File name too long)"),
        ({"train": None}, "key 'train' is missing"),
        ({"test_share": 1.5}, "test_share must be between 0 and 1, but is 1.5"),
        ({"seed": "x"}, "seed has a wrong type; found 'x'; expected a whole number"),
        ({"streaming": 0}, "streaming must be a number of rows"),
        ({"type": "clasification"}, "unknown type 'clasification'. Did you mean classification"),
        ({"metric": "span_f1"}, "the metric does not fit the columns"),
        ({"tokens": "text"}, "no columns are named for input and output"),
        ({"delimiter": "ab"}, "delimiter must be one character"),
        ({"input": "{{text"}, "the template cannot be read"),
        ({"input": "{{cycler.__init__}}"}, "the template fails"),
        ({"options": 3}, "options has a wrong type; found 3; expected text or a list"),
    ],
)
def test_a_mistake_in_the_yaml_is_named(tmp_path, changes, message):
    assert message in error_of(write(tmp_path, {**KEYS, **changes}, train_csv=csv_text(ROWS)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,mood\na,good\nb\n", "train.csv:3: wrong number of cells; found 1; expected 2"),
        ("text,mood\na,good\n\nb,bad\n", "train.csv:3: empty line"),
        ("text,text\n", "train.csv:1: column names repeat"),
        ('text,mood\n"a,good\n', "not a table"),
        (b"text,mood\na,good\nb\xff,bad\n", "train.csv:3: not UTF-8"),
        ("text,mood\na\0,good\n", "train.csv:2: the text has a NUL character"),
        ("", "train.csv: the table has no rows"),
        ("text,mood\n", "train.csv: the table has no rows"),
        ("text,mood\n" + "x" * 200_000 + ",good\n", "field larger than field limit (131072)). Close the quotation"),
    ],
)
def test_a_mistake_in_a_table_is_named_with_its_line(tmp_path, content, message):
    assert message in error_of(write(tmp_path, KEYS, train_csv=content))


@pytest.mark.parametrize("file", ["train.parquet", "train.arrow", "file.arrow"])
def test_a_broken_columnar_file_gives_one_error(tmp_path, file):
    """Half a file is not a file; and what is read of a damaged one has the form of examples."""
    whole, refused = FORMS[file], 0
    for number in range(0, len(whole), max(1, len(whole) // 60)):
        for content in (whole[:number], whole[:number] + b"\xff\x00\x7f" + whole[number + 3 :]):
            name = write(tmp_path, {**KEYS, "train": file, "test": file}, **{file.replace(".", "_"): content})
            try:
                found = open_suite(name)["mood"].examples("train")
            except UserError as error:
                assert file in str(error)
                refused += 1
            else:
                assert all(e.problem(LABELS) is None for e in found)
                if content == whole[:number]:  # a stream may lack its end mark: all of its rows are there
                    assert file == "train.arrow" and list(found) == EXPECTED
    assert refused > 60  # nearly all of the halves


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    outside = tmp_path / "outside.csv"
    outside.write_text(csv_text(ROWS))
    (tmp_path / "in").mkdir()
    (tmp_path / "in/train.csv").symlink_to(outside)
    assert "the link leads out of the folder" in error_of(write(tmp_path / "in", KEYS))
    (tmp_path / "in/tables.yaml").symlink_to(outside)
    assert "the link leads out of the folder" in error_of(f"table:{tmp_path / 'in'}")


def test_yaml_that_grows_by_its_aliases_is_refused(tmp_path):
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
    (tmp_path / "b.yaml").write_text(bomb)
    assert "aliases make the file too large" in error_of(f"table:{tmp_path / 'b.yaml'}")


CELLS = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\r\n"), max_size=12)


@examples(60)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5))
def test_what_the_csv_module_of_others_writes_is_read_back(tmp_path_factory, pairs):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_text(csv_text([{"x": a, "y": b} for a, b in pairs]), encoding="utf-8", newline="")
    assert [tuple(row.values()) for _, row in FileRows((path,)).read()] == pairs


NEEDED = ("input", "output", "train")  # of the keys above; the labels are those of the data


@examples(150)
@given(
    st.dictionaries(
        st.text(max_size=8),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8),
            lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=4), x, max_size=3),
            max_leaves=6,
        ),
        max_size=4,
    ),
    st.sampled_from(sorted(KEYS)),
)
def test_any_yaml_gives_a_suite_or_one_error(tmp_path_factory, keys, dropped):
    folder = tmp_path_factory.mktemp("any")
    (folder / "train.csv").write_text(csv_text(ROWS), newline="")
    name = write(folder, {**{k: v for k, v in KEYS.items() if k != dropped}, **keys})
    try:
        tasks = open_suite(name).tasks.values()
    except UserError as error:
        assert str(error).strip()
        assert dropped in NEEDED or keys  # the rest is a sound table
    else:
        assert dropped not in NEEDED or dropped in keys
        assert [t.name for t in tasks] == ["mood"] or keys


ROW = {"a": "x y", "choices": ["p", "q"], "label": 1, "d": {"t": ["u"]}}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{a}}\n", "x y\n"),
        ("{{choices[label]}}", "q"),
        ("{{a.strip().split(' ')[0]}}", "x"),
        ("{% for c in choices %}{{loop.index}}{{c}} {% endfor %}", "1p 2q "),
        ("{{a ~ '-' ~ label}}", "x y-1"),
        ("{{choices.index('q')}} {{', '.join(choices)}}", "1 p, q"),
        ("{{a|replace('x','z')|upper}} {{a.replace('x', 'z')}}", "Z Y z y"),
        ("{{[a, d.t[0]]}}", "['x y', 'u']"),
        ("{{label + 1}} {{label * 3}}", "2 3"),
        ("{% set z = a.strip() %}{{z}} {{ 'yes' if label == 1 else 'no' }}", "x y yes"),
        ("{{choices|map('upper')|join('/')}}", "P/Q"),
    ],
)
def test_a_template_reads_the_row(source, text):
    assert render(source, ROW, "f:1") == text


@pytest.mark.parametrize(
    "source",
    [
        "{{a.__class__}}",
        "{{a|attr('__class__')}}",
        "{{a['for' ~ 'mat'](1)}}",
        "{{''.format.__globals__}}",
        "{{a * 1000000000}}",
        "{{9 ** 99999}}",
        "{{'%999999999d' % 1}}",
        "{{'{:>999999999}'.format(1)}}",
        "{{a|center(1000000000)}}",
        "{{a.ljust(1000000000)}}",
        "{{range(100000)}}",
        "{% macro m() %}{{m()}}{{m()}}{% endmacro %}{{m()}}",
        "{% include '/etc/passwd' %}",
        "{% set a = a ~ a %}" * 40 + "{{a}}",
        "{% set a = a + a %}" * 40 + "{{a}}",
        "{% set a = [a, a] %}" * 40 + "{{a}}",
        "{{a" + ".replace('', a)" * 30 + "}}",
        "{% set l = choices %}" + "{% set l = l + l %}" * 40 + "{{l}}",
        "{% for a in wide %}{% for b in wide %}{% for c in wide %}{% endfor %}{% endfor %}{% endfor %}",
        "{{" + "(" * 3000 + "a" + ")" * 3000 + "}}",
        "{{nothing}}",
        "{{a",
    ],
)
def test_a_template_cannot_reach_out_grow_or_hang(source):
    with pytest.raises(UserError, match=r"^f:1: "):
        render(source, {**ROW, "wide": ["x"] * 1000}, "f:1")


def in_each_format(folder: Path, cells: list, keys: dict) -> dict[str, str]:
    """The suite name of a task with these label cells, for each type of file."""
    rows = [{"text": f"t{i}", "mood": cell} for i, cell in enumerate(cells)]
    table = pa.Table.from_pylist(rows)
    csv = "text,mood\n" + "".join(f"{row['text']},{row['mood']}\n" for row in rows)
    contents = {
        "csv": csv,
        "jsonl": "".join(json.dumps(row) + "\n" for row in rows),
        "parquet": parquet_bytes(table),
        "arrow": arrow_bytes(table),
    }
    names = {}
    for kind, content in contents.items():
        place = folder / kind
        place.mkdir()
        keys = keys | {"train": f"train.{kind}", "test": f"train.{kind}"}
        names[kind] = write(place, keys, **{f"train_{kind}": content})
    return names


@pytest.mark.parametrize("cells", [[1.0, 2.0, 1.0], [True, False, True], [1, 2, 1], ["1", "2", "1"]])
@pytest.mark.parametrize("labels", ["words", "*"])
def test_a_label_is_the_same_whatever_the_type_of_file(tmp_path, cells, labels):
    first, second = sorted({str(c).lower().removesuffix(".0") for c in cells})
    words = {first: "low", second: "high"} if labels == "words" else labels
    found = {}
    for kind, name in in_each_format(tmp_path, cells, {"input": "text", "output": "mood", "labels": words}).items():
        found[kind] = [e.output for e in open_suite(name)["mood"].examples("train")]
    outputs = found["csv"]
    assert all(other == outputs for other in found.values()), found
    assert outputs[0] == outputs[2] != outputs[1]


def test_a_type_that_chooses_from_options_needs_labels_or_options(tmp_path):
    keys = {"input": "text", "output": "mood", "type": "classification"}
    for kind, name in in_each_format(tmp_path, ["good", "bad", "good"], keys).items():
        message = error_of(name)
        assert "type classification without labels or options" in message, kind
        way_out = yaml.safe_load((tmp_path / kind / "mood.yaml").read_text()) | {"labels": "*"}
        (tmp_path / kind / "mood.yaml").write_text(yaml.safe_dump(way_out))
        assert open_suite(name)["mood"].labels == ("bad", "good")
