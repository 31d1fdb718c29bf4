"""Probes change one thing of the demonstrations, and nothing of the queries."""

from __future__ import annotations

from collections import Counter

import pytest
from scripted import scripted
from toys import choice_task, tag_task, text_task, toy_task

from eval.answering import protocol_episode
from eval.config import Protocol
from eval.harness import Comparison
from task_suites.core.errors import UserError

TASK = toy_task(size=120)
OTHERS = [TASK, toy_task("far", ("near", "far")).replace(family="space"), choice_task()]


def drawn(k=16, task=TASK, **changes):
    return protocol_episode(Protocol([k], seeds=1, queries=8, **changes), task, 0, k, OTHERS)


GOLD = drawn()


def test_without_a_probe_the_draw_stays():
    assert drawn(demonstration_labels="gold", demonstration_inputs="own", demonstration_order=0) == GOLD


@pytest.mark.parametrize(
    "changes",
    [{"demonstration_labels": "random"}, {"demonstration_labels": "flipped"}, {"demonstration_inputs": "other"}],
)
def test_a_probe_leaves_queries_and_is_nested_in_k(changes):
    probed = drawn(**changes)
    assert probed.queries == GOLD.queries and probed.support != GOLD.support
    assert drawn(4, **changes).support == probed.support[:4]
    assert drawn(**changes) == probed


def test_flipped_labels_are_all_wrong_and_keep_the_inputs():
    pairs = list(zip(drawn(demonstration_labels="flipped").support, GOLD.support, strict=True))
    assert all(a.input == b.input and a.output != b.output and a.output in b.options for a, b in pairs)


def test_random_labels_are_drawn_from_all_options():
    many = drawn(100, demonstration_labels="random").support
    assert 30 < Counter(e.output for e in many)["fruit"] < 70
    right = sum(a.output == b.output for a, b in zip(many, drawn(100).support, strict=True))
    assert 30 < right < 70  # about half of two labels are right by chance


def test_an_option_of_each_example_is_flipped_to_the_next():
    own, flipped = (drawn(4, choice_task(), demonstration_labels=how).support for how in ("gold", "flipped"))
    assert all({a.output, b.output} == set(a.options) for a, b in zip(own, flipped, strict=True))


def test_arbitrary_words_stand_for_the_labels_of_demonstrations_and_queries_alike():
    probed = drawn(demonstration_labels="arbitrary")
    new = {b.output: a.output for a, b in zip(probed.support, GOLD.support, strict=True)}
    assert set(new) == {"fruit", "tool"} and not set(new) & set(new.values())
    assert [e.output for e in probed.queries] == [new[e.output] for e in GOLD.queries]
    assert all(set(e.options) == set(new.values()) for e in (*probed.support, *probed.queries))


def test_another_order_has_the_same_demonstrations():
    first, second = (drawn(demonstration_order=n).support for n in (1, 2))
    assert first != second != GOLD.support and Counter(first) == Counter(second) == Counter(GOLD.support)


def test_inputs_of_another_family_stand_with_the_own_answers():
    support = drawn(demonstration_inputs="other").support
    assert [e.output for e in support] == [e.output for e in GOLD.support]
    lent = {e.input for task in OTHERS[1:] for e in task.examples("train")}
    assert {e.input for e in support} <= lent


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        (text_task(), {"demonstration_labels": "random"}, "no options that random labels could be drawn from"),
        (choice_task(), {"demonstration_labels": "arbitrary"}, "no arbitrary words stand for its labels"),
        (tag_task(), {"demonstration_inputs": "other"}, "no other task can lend inputs"),
    ],
)
def test_what_a_task_cannot_be_probed_by_is_refused(task, changes, message):
    with pytest.raises(UserError, match=message):
        drawn(4, task, **changes)


def test_a_comparison_scores_probed_cells_apart_from_others(tmp_path):
    keys = []
    for labels in ("gold", "flipped"):
        comparison = Comparison([TASK], Protocol([2], 1, 4, demonstration_labels=labels), tmp_path)
        comparison.run(scripted())
        keys.append(comparison.finished(scripted())[0].key)
    assert keys[0] != keys[1]
