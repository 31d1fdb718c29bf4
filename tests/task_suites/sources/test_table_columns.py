"""A row of a table as an example, by the columns that are named."""

from __future__ import annotations

import pytest

from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.sources.table_columns import Columns

WHERE = "t.csv:2"


def columns(**keys: object) -> Columns:
    return Columns.of(keys, "t.yaml")


def test_own_options_are_chosen_by_text_or_by_key():
    own = columns(input="q", output="o", options="c")
    assert own.example({"q": "?", "o": "b", "c": "a | b"}, (), WHERE) == Example("?", "b", ("a", "b"))
    keyed = columns(input="q", output="o", options=["x", "y"], option_keys=[0, 1])
    assert keyed.example({"q": "?", "o": 1, "x": "a", "y": "b"}, (), WHERE) == Example("?", "b", ("a", "b"))
    with pytest.raises(UserError, match="a number is not the name of an option"):
        own.example({"q": "?", "o": 1, "c": ["a", "b"]}, (), WHERE)
    with pytest.raises(UserError, match="two options have the same key"):
        columns(input="q", output="o", options=["x", "y"], option_keys=[1, 1]).example(
            {"q": "?", "o": 1, "x": "a", "y": "b"}, (), WHERE
        )


def test_a_class_number_is_read_by_the_names_of_the_data():
    plain = columns(input="q", output="o")
    assert plain.example({"q": "?", "o": 1}, ("low", "high"), WHERE) == Example("?", "high", ("low", "high"))
    with pytest.raises(
        UserError, match=r"the output is not the number of a class; found -1; expected 0 to 1\. A split without answers"
    ):
        plain.example({"q": "?", "o": -1}, ("low", "high"), WHERE)


def test_a_map_gives_the_word_of_a_class_or_of_its_number():
    mapping = columns(input="q", output="o", labels={"neg": "bad", "pos": "good"})
    assert mapping.labels == ("bad", "good")
    assert mapping.example({"q": "?", "o": 1}, ("neg", "pos"), WHERE).output == "good"
    assert columns(input="q", output="o", labels={0: "bad", 1: "good"}).label(1, ("neg", "pos"), WHERE) == "good"


def test_tags_are_split_at_blanks_or_lists():
    tagged = columns(tokens="w", tags="t")
    expected = Example(tokens=("a", "b"), tags=("O", "B-X"))
    assert tagged.example({"w": "a b", "t": "O B-X"}, (), WHERE) == expected
    assert tagged.example({"w": ["a", "b"], "t": [0, 1]}, ("O", "B-X"), WHERE) == expected


def test_templates_and_names_with_dots_are_among_the_wanted_columns():
    wanted = columns(input="{{a}} {{b}}", output="c.d", accepted="e").wanted()
    assert wanted == {"a", "b", "c.d", "c", "e"}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "no columns are named for input and output"),
        ({"input": "q"}, "the column of input or of output is not named"),
        ({"tokens": "w", "input": "q"}, "no columns are named"),
        ({"tokens": "w"}, "no columns are named"),
        ({"input": "q", "output": "o", "labels": "all"}, "labels has a wrong value"),
        ({"input": "q", "output": "o", "labels": ["a", True]}, "a label is not text; found True"),
        ({"input": "q", "output": "o", "labels": ["a", "A"]}, "two labels differ only by blanks or case"),
        ({"input": "q", "output": "o", "options": ["a", 1]}, "options must be a list of texts"),
    ],
)
def test_columns_that_make_no_example_are_refused(keys, said):
    with pytest.raises(UserError, match=rf"^t\.yaml: {said}"):
        columns(**keys)
