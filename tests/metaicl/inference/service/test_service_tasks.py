"""A client's demonstrations and inputs as a task and queries: what is wrong is one error that names it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from services import DEMOS

from metaicl.inference.service.config import ServeRun
from metaicl.inference.service.schemas import Demonstration, NewTask, Query
from metaicl.inference.service.tasks import check_demonstrations, extended, new_task, queries_of, served_methods
from metaicl.methods import METHODS, method_class
from task_suites.core.errors import UserError

CONFIG = ServeRun("tiny-random", max_demonstrations=6, max_inputs=3, max_characters=40)
METHODS_HERE = ["icl", "knn", "finetune"]


def made(**more):
    return new_task(NewTask(**{"demonstrations": DEMOS, **more}), CONFIG, METHODS_HERE)


def test_a_task_has_the_classes_of_its_demonstrations_or_those_that_are_named():
    assert made().labels == ("fruit", "tool")
    assert made(labels=["tool", "fruit", "none"]).labels == ("tool", "fruit", "none")
    text = made(demonstrations=[{"input": "1", "output": "one"}, {"input": "2", "output": "two"}])
    assert text.labels == ()


def test_ids_are_not_to_be_guessed():
    ids = {made().id for _ in range(20)}
    assert len(ids) == 20 and {len(one) for one in ids} == {24}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"demonstrations": [*DEMOS, *DEMOS]}, "too many demonstrations; found 8 demonstrations; expected at most 6"),
        ({"demonstrations": [{"input": "x" * 41, "output": "a"}]}, r"demonstrations\[0\]: a text is too long"),
        ({"demonstrations": [{"input": "x", "output": None}]}, r"demonstrations\[0\]"),
        ({"name": "x" * 41}, "name: a text is too long"),
        ({"instruction": "half \ud83d"}, "the instruction"),
        ({"labels": ["fruit"]}, "labels: there is one label"),
        ({"labels": ["fruit", " fruit"]}, "labels: "),
        ({"labels": [str(i) for i in range(201)]}, "too many labels; found 201"),
        ({"labels": ["fruit", "spoon"]}, r"demonstrations\[1\]"),
        ({"method": "metaicl"}, "no method 'metaicl' on this model"),
        ({"method": "metaicl.methods.metric.knn:NearestNeighbours"}, "no method"),
        ({"options": {"shown": 3}}, "options are given without a method"),
        ({"method": "icl", "options": {"shown": 1001}}, "option 'shown' is too large"),
        ({"method": "icl", "options": {"selection": "nearest", "target": "os:system"}}, "option 'target' cannot be"),
    ],
)
def test_what_a_client_may_not_ask_for_is_named(changes, message):
    with pytest.raises(UserError, match=message):
        made(**changes)


def test_a_choice_among_a_methods_own_words_may_be_given():
    assert made(method="icl", options={"selection": "nearest", "shown": 2}).options["selection"] == "nearest"


def test_more_demonstrations_count_on_and_have_the_tasks_labels():
    record = made()
    more = extended(record, [Demonstration(input="a plum", output="fruit")], CONFIG)
    assert (more.revision, len(more.demonstrations), record.revision) == (1, 5, 0)
    with pytest.raises(UserError, match=r"demonstrations\[4\]"):
        extended(record, [Demonstration(input="a plum", output="vegetable")], CONFIG)
    with pytest.raises(UserError, match="found 7 demonstrations"):
        extended(record, [Demonstration(input=f"{i}", output="fruit") for i in range(3)], CONFIG)
    with pytest.raises(UserError, match=r"demonstrations\[9\]: a text is too long"):
        check_demonstrations([Demonstration(input="x" * 41, output="a")], replace(CONFIG, max_demonstrations=99), 9)


def test_inputs_become_queries_with_the_tasks_labels():
    found = queries_of(made(), ["a lime", Query(input="a drill")], CONFIG)
    assert [(q.input, q.output, q.options) for q in found] == [
        ("a lime", None, ("fruit", "tool")),
        ("a drill", None, ("fruit", "tool")),
    ]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (["a"] * 4, "too many inputs; found 4; expected at most 3 in a request"),
        (["a", "x" * 41], r"inputs\[1\]: a text is too long"),
        (["a", Query(tokens=["a"])], r"inputs\[1\]"),
        ([Query()], r"inputs\[0\]"),
    ],
)
def test_an_input_that_is_unsound_is_named_by_its_place(inputs, message):
    with pytest.raises(UserError, match=message):
        queries_of(made(), inputs, CONFIG)


def test_a_client_may_name_the_methods_that_run_on_the_model_as_it_is():
    for model, kind in (("tiny-random", "causal"), ("tiny-encoder", "encoder")):
        found = served_methods(model)
        assert found == [n for n in METHODS if not method_class(n).meta_trained and kind in method_class(n).backbones]
    assert "icl" in served_methods("tiny-random") and "metaicl" not in served_methods("tiny-random")
