"""Python lists become a task: words, numbers, own options, free text, tags."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_suites import EpisodeSampler, Example, TaskSuite, UserError, from_lists

TEXTS = [f"t{i}" for i in range(10)]
WORDS = ["good", "bad"] * 5


def test_words_become_labels_and_a_share_is_for_testing():
    task = from_lists("mood", TEXTS, WORDS, instruction="Rate it.", test_share=0.3)
    assert (task.type, task.labels, task.metric, task.instruction) == (
        "classification",
        ("bad", "good"),
        "accuracy",
        "Rate it.",
    )
    train, test = task.examples("train"), task.examples("test")
    assert len(test) == 3 and {(e.input, e.output) for e in train + test} == set(zip(TEXTS, WORDS, strict=True))
    assert len(EpisodeSampler(0, 4, 2).draw(task, "test", 0).support) == 4
    assert TaskSuite("mine", {task.name: task}, {"meta_test": (task.name,)})["mood"] is task


def test_numbers_take_their_names_also_from_numpy():
    expected = [Example("a", "low", ("low", "high")), Example("b", "high", ("low", "high"))]
    for labels in ([0, 1], np.array([0, 1]), (np.int64(0), np.int64(1))):
        task = from_lists("x", np.array(["a", "b"]), labels, ["a", "b"], labels, label_names={0: "low", 1: "high"})
        assert list(task.examples("train")) == list(task.examples("test")) == expected
    assert from_lists("x", ["a", "b"], np.array([3, 7]), ["c"], [3]).labels == ("3", "7")


def test_items_may_have_options_of_their_own():
    options = [["x", "y"], ["p", "q", "r"]]
    task = from_lists("x", ["a", "b"], ["y", "r"], ["c"], ["z"], options=options, test_options=[["z", "w"]])
    assert task.examples("train") == (Example("a", "y", ("x", "y")), Example("b", "r", ("p", "q", "r")))
    assert (task.type, task.labels, task.examples("test")[0].output) == ("multiple_choice", (), "z")


def test_free_text_and_tags():
    task = from_lists("x", ["a", "b"], ["one", ["two", "zwei"]], ["c"], ["three"], type="generation")
    assert task.examples("train") == (Example("a", "one"), Example("b", "two", accepted=("zwei",)))
    assert task.metric == "exact_match"
    task = from_lists("x", [["Ann", "left"]], [[1, 0]], [["Bo"]], [[1]], label_names={0: "O", 1: "B-PER"})
    assert task.examples("train") == (Example(tokens=("Ann", "left"), tags=("B-PER", "O")),)
    assert task.examples("test")[0].tags == ("B-PER",) and (task.type, task.metric) == ("tagging", "span_f1")


@pytest.mark.parametrize(
    ("arguments", "named", "message"),
    [
        ((["a", "b"], ["x"]), {}, "the train lists differ in length; found 2 and 1"),
        (([], []), {}, "the train lists are empty"),
        ((["a", "b"], ["x", "x"]), {}, "the labels must be at least two different words; found ['x']"),
        ((["a", " "], ["x", "y"]), {}, "train example 2: the input is empty"),
        ((["a", "b"], ["x", "y"], ["c"]), {}, "only one of test_texts and test_labels is given"),
        (
            (["a", "b"], ["x", "y"], ["c"], ["z"]),
            {"label_names": ["x", "y"]},
            "test example 1: the answer is not one of the labels",
        ),
        (
            (["a"], ["x"]),
            {"options": [["x", "x"]]},
            "train example 1: there must be at least two options, all different",
        ),
        ((["a"], ["x"], ["b"], ["x"]), {"options": [["x", "y"]]}, "test_options are missing"),
        (([["a"]], ["O"]), {}, "train example 1: this is not a list; found 'O'"),
        (([["a"]], [["O", "O"]]), {}, "train example 1: tokens and tags differ in number"),
        ((["a", "b"], ["x", "y"]), {"test_share": 1}, "test_share must be between 0 and 1, but is 1"),
        ((["a", "b"], ["x", "y"]), {"metric": "acuracy"}, "unknown metric 'acuracy'"),
    ],
)
def test_a_mistake_names_the_item(arguments, named, message):
    with pytest.raises(UserError) as raised:
        from_lists("x", *arguments, **named)
    assert message in str(raised.value)


@given(st.lists(st.tuples(st.text("abc", min_size=1, max_size=3), st.sampled_from("xy")), min_size=4, max_size=30))
def test_no_item_is_lost_or_on_both_sides(pairs):
    texts, labels = map(list, zip(*pairs, strict=True))
    if len(set(texts)) < 2 or len(set(labels)) < 2:
        return
    task = from_lists("x", texts, labels)
    train, test = task.examples("train"), task.examples("test")
    assert sorted((e.input, e.output) for e in train + test) == sorted(pairs)
    assert not {e.content for e in train} & {e.content for e in test}
