"""Random and majority answers: what they follow, and what they are a function of."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from on_toys import TASKS, answers, build

from metaicl.methods.baselines.chance import MajorityPredictor, RandomPredictor
from metaicl.testing import draw
from task_suites.example import Example


def test_majority_follows_the_demonstrations_and_random_is_even():
    e = draw(TASKS["options"], k=4, queries=50)
    lone = tuple(d for d in e.support if d.output == "tool")
    assert {a.text for a in build("majority").adapt(e.task, lone).answers(e.queries)} == {"tool"}
    found = [a.text for a in answers(build("random"), e)]
    assert 10 < found.count("fruit") < 40


def test_a_random_answer_is_a_function_of_task_support_set_and_query_whatever_is_asked_beside_it():
    e = draw(TASKS["options"], k=4, queries=20)
    together = RandomPredictor(e.task, e.support).scores(e.queries)
    alone = [RandomPredictor(e.task, e.support).scores([q])[0] for q in reversed(e.queries)][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(together, alone, strict=True))
    fewer = RandomPredictor(e.task, e.support[:2]).scores(e.queries)
    assert not any(np.array_equal(a, b) for a, b in zip(together, fewer, strict=True))


@pytest.mark.parametrize(("outputs", "best"), [("aab", "a"), ("abb", "b"), ("ba", "b"), ("", "")])
def test_a_text_is_the_most_frequent_answer_and_of_equal_ones_the_first(outputs, best):
    support = [Example(f"text {i}", output) for i, output in enumerate(outputs)]
    assert MajorityPredictor(support).generate([Example("a"), Example("b")]) == [best, best]


def test_an_options_score_is_the_number_of_its_demonstrations():
    support = [Example(f"text {i}", output, ("a", "b", "c")) for i, output in enumerate("aab")]
    (scores,) = MajorityPredictor(support).scores([Example("text", None, ("c", "a", "b"))])
    assert scores.tolist() == [0.0, 2.0, 1.0]


def test_random_texts_are_those_of_demonstrations_and_random_tags_begin_spans_of_kinds_that_occur():
    e = draw(TASKS["text"], k=3, queries=20)
    assert set(RandomPredictor(e.task, e.support).generate(e.queries)) <= {d.output for d in e.support}
    assert RandomPredictor(e.task, ()).generate(e.queries[:2]) == ["", ""]
    tagged = [Example(tokens=("a", "b"), tags=("B-X", "I-X"))]
    words = Example(tokens=("w",) * 400)
    found = Counter(RandomPredictor(TASKS["tags"], tagged).tag([words])[0])
    assert found.keys() == {"O", "B-X"} and min(found.values()) > 150
    assert MajorityPredictor(tagged).tag([words]) == [("O",) * 400]
