"""What `predict` reads is checked as the files of a suite are, before any model is opened."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from question_files import queries_of, rows_of

from examples import examples
from metaicl.cli.main import main
from metaicl.inference.questions import read_questions
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.sources.local import parse_example, parse_query

CLASSES = [{"input": f"thing {i}", "output": ("up", "down")[i % 2]} for i in range(4)]
CHOICE = [{"input": "sky?", "output": "blue", "options": ["blue", "red"]}]
FREE = [{"input": "1", "output": "one"}, {"input": "2", "output": "two"}]
TAGGED = [{"tokens": ["in", "Rome"], "tags": ["O", "B-PLACE"]}]
ONE_CLASS = [{"input": f"thing {i}", "output": "up"} for i in range(3)]


def lines(path: Path, rows: list) -> Path:
    text = "".join((row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    return path


def read(folder: Path, demos: list, inputs: list):
    return read_questions(lines(folder / "d.jsonl", demos), lines(folder / "i.jsonl", inputs))


@pytest.mark.parametrize(
    ("demos", "inputs", "message"),
    [
        (
            CHOICE,
            ['{"input": "x", "options": "blue"}'],
            'i.jsonl:1: options has a wrong type; found \'blue\'.*"options": ["blue", ...]',
        ),
        (
            CHOICE,
            [{"input": "x", "options": ["a", "a"]}],
            "i.jsonl:1: there must be at least two options, all different",
        ),
        (CHOICE, [{"input": "x", "options": ["a", " a"]}], "i.jsonl:1: two options differ only by blanks"),
        (CHOICE, [{"input": "x", "options": ["a"]}], "i.jsonl:1: there must be at least two options, all different"),
        (CHOICE, [{"input": "x", "options": ["a", ""]}], "i.jsonl:1: an option is empty"),
        (CHOICE, [{"input": "x", "options": [1, 2]}], 'options has a wrong type; found [1, 2].*"options": ["1", "2"]'),
        (CHOICE, [{"input": "x", "options": [1, True]}], 'Put each in quotes: "options": ["1", "true"]'),
        (CHOICE, [{"input": "x"}], 'i.jsonl:1: options are missing.*Add "options"'),
        (
            CLASSES,
            [{"input": "x"}, {"input": "x", "options": ["left", "right"]}],
            "i.jsonl:2: the options are not the demonstrations' answers",
        ),
        (FREE, [{"input": "x", "options": ["a", "b"]}], "i.jsonl:1: the input has options.*free text"),
        (FREE, [{"input": " "}], "i.jsonl:1: the input is empty"),
        (FREE, [{"input": ""}], "i.jsonl:1: the input is empty"),
        (FREE, [], "i.jsonl: there is nothing to answer"),
        (FREE, ["", ""], "i.jsonl: there is nothing to answer"),
        (FREE, [r'{"input": "half \ud83d"}'], "i.jsonl:1: not Unicode text"),
        (FREE, ['{"input": "a", "input": "b"}'], "i.jsonl:1: key 'input' occurs twice"),
        (FREE, ['{"input": "a", "id": NaN}'], "i.jsonl:1: not JSON (NaN"),
        (FREE, [{"input": True}], 'i.jsonl:1: input has a wrong type; found True.*Put it in quotes: "true"'),
        (
            FREE,
            [{"tokens": ["a"]}],
            "i.jsonl:1: the input is of another kind than the demonstrations; found tokens; expected input",
        ),
        (FREE, [{"tokens": ["a"], "input": "a"}], "i.jsonl:1: tokens beside input"),
        (
            TAGGED,
            [{"input": "x"}],
            "i.jsonl:1: the input is of another kind than the demonstrations; found input; expected tokens",
        ),
        (TAGGED, [{"tokens": []}], "i.jsonl:1: no tokens"),
        (TAGGED, [{"tokens": ["a", ""]}], "i.jsonl:1: a token is empty or holds white space; found ''"),
        (TAGGED, [{"tokens": ["a", "b c"]}], "i.jsonl:1: a token is empty or holds white space; found 'b c'"),
        ([*FREE, *TAGGED], [{"input": "x"}], "d.jsonl:3: the demonstrations are of two kinds"),
        ([*FREE, *CHOICE], [{"input": "x"}], "d.jsonl:3: the demonstrations are of two kinds"),
        (
            [*CLASSES, {"input": "z", "output": "Up"}],
            [{"input": "x"}],
            "d.jsonl: two labels differ only by blanks or case",
        ),
        ([], [{"input": "x"}], "d.jsonl: no demonstrations"),
        (CLASSES, [{"input": "x", "answer": "kept by hand"}], "i.jsonl:1: an input has a key that its answer needs"),
        (CLASSES, [{"input": "x"}, {"input": "y", "scores": 1}], "i.jsonl:2: an input has a key that its answer needs"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_file_and_line(tmp_path, demos, inputs, message):
    with pytest.raises(UserError) as raised:
        read(tmp_path, demos, inputs)
    for part in message.split(".*"):
        assert part in str(raised.value), str(raised.value)


def test_one_line_holds_one_query_whatever_characters_are_in_it(tmp_path):
    texts = ["a\u2028b", "c\u2029d", "e\x85f", "g\x0bh"]
    path = tmp_path / "i.jsonl"
    path.write_bytes(
        "\ufeff".encode() + "".join(json.dumps({"input": t}, ensure_ascii=False) + "\r\n" for t in texts).encode()
    )
    questions = read_questions(lines(tmp_path / "d.jsonl", FREE), path)
    assert [q.input for q in queries_of(questions)] == texts


def test_queries_of_a_classification_may_name_its_labels_in_any_order(tmp_path):
    questions = read(tmp_path, CLASSES, [{"input": "x", "options": ["up", "down"]}, {"input": "y", "id": 3}])
    assert [q.options for q in queries_of(questions)] == [("up", "down"), ("down", "up")]
    assert questions.labels == ("down", "up") and rows_of(questions)[1] == {"input": "y", "id": 3}


@pytest.mark.parametrize("demos", [ONE_CLASS, [{"input": "a", "output": "up"}, {"input": "b", "output": "down"}]])
def test_demonstrations_without_two_classes_are_said_to_be_free_text_and_options_make_them_a_choice(tmp_path, demos):
    questions = read(tmp_path, demos, [{"input": "x"}])
    assert queries_of(questions)[0].form == "text" and "generated as free text." in questions.note
    choice = [{**row, "options": ["up", "down"]} for row in demos]
    questions = read(tmp_path, choice, [{"input": "x", "options": ["up", "down"]}])
    assert queries_of(questions)[0].form == "options" and not questions.note


VALUES = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", " ", "a", "b", "a b"])
FIELDS = st.fixed_dictionaries(
    {},
    optional={"input": VALUES, "options": VALUES | st.lists(VALUES, max_size=3), "tokens": VALUES | st.lists(VALUES)},
)


@examples(150)
@given(FIELDS)
def test_a_query_is_refused_in_the_words_in_which_a_suite_refuses_it(row):
    answer = {"tags": ["O"] * len(row["tokens"])} if isinstance(row.get("tokens"), list) else {}
    if not answer:
        options = row.get("options")
        answer = {"output": options[0] if isinstance(options, list) and options else "x"}
    try:
        query = parse_query(row, "f:1")
    except UserError as error:
        with pytest.raises(UserError) as suite:
            parse_example({**row, **answer}, (), "f:1")
        if "input is missing" not in str(error):
            assert str(suite.value) == str(error) or not isinstance(answer.get("output", ""), str)
        return
    assert parse_example({**row, **answer}, (), "f:1").hidden() == query
    assert query == Example(query.input, None, query.options, query.tokens)


def test_inputs_come_from_standard_input_as_from_a_file(tmp_path, monkeypatch, capsys):
    demos, inputs = lines(tmp_path / "d.jsonl", CLASSES), lines(tmp_path / "i.jsonl", [{"input": "thing 7"}] * 2)
    words = ["predict", "--model", "tiny-random", "--method", "majority", "--demos", str(demos), "--inputs"]

    def answers(where: str) -> str:
        with inputs.open(encoding="utf-8") as pipe:
            monkeypatch.setattr(sys, "stdin", pipe)
            main([*words, where])
        return capsys.readouterr().out

    assert answers("-") == answers(str(inputs)) and answers("-").count("\n") == 2


def test_standard_input_cannot_hold_both_files():
    with pytest.raises(UserError, match="both come from standard input"):
        read_questions(Path("-"), Path("-"))
