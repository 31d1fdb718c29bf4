"""A method at work on the episodes of a comparison: what is drawn, what it answers, and its score."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

import pytest
from scripted import Scripted
from toys import choice_task, tag_task, text_task, toy_suite, toy_task

from eval import answering
from eval.answering import (
    Answered,
    answer_episode,
    answer_episodes,
    answered_cell,
    make_validate,
    protocol_episode,
    protocol_episodes,
    truth,
    validation_cells,
)
from eval.config import Protocol
from eval.store import cell_store
from metaicl.methods.predictor import Answer
from metaicl.training.config import ValidationConfig
from task_suites.example import Example

TASK, PROTOCOL = toy_task(), Protocol([4], seeds=2, queries=5)
TASKS = toy_suite().split("meta_train")


class Half(Scripted):
    """Is right about the words of meta-training tasks that end in 0 only."""

    def adapt(self, task, support):
        return Scripted(task.name.endswith("0")).adapt(task, support)


def test_support_sets_are_nested_in_k_and_queries_stay():
    small, large = (protocol_episode(PROTOCOL, TASK, 1, k) for k in (2, 4))
    assert large.support[:2] == small.support and large.queries == small.queries
    assert protocol_episode(PROTOCOL, TASK, 0, 4).support != large.support


def test_retrieval_gives_each_query_an_episode_of_its_own_with_the_same_queries_in_all():
    retrieved = protocol_episodes(replace(PROTOCOL, retrieval="bm25"), TASK, 0, 2)
    assert [len(e.queries) for e in retrieved] == [1] * 5
    assert tuple(e.queries[0] for e in retrieved) == protocol_episode(PROTOCOL, TASK, 0, 2).queries


def test_demonstrations_that_are_fixed_are_shown_in_their_order_up_to_k():
    train = TASK.examples("train")
    fixed = replace(PROTOCOL, demonstrations={TASK.name: [7, 2, train[5].input]})
    assert list(protocol_episode(fixed, TASK, 0, 3).support) == [train[7], train[2], train[5]]
    assert list(protocol_episode(fixed, TASK, 1, 2).support) == [train[7], train[2]]


@pytest.mark.parametrize("right", [True, False])
def test_a_score_is_that_of_answers_to_queries_without_their_answers(right):
    done = answer_episode(Scripted(right), protocol_episode(PROTOCOL, TASK, 0, 4))  # asserts what it is given
    assert done.score == float(right) and len(done.answers) == 5


def test_the_episodes_of_a_cell_are_one_score_over_all_queries_and_times_that_add_up(monkeypatch):
    ticks = iter(range(100))
    monkeypatch.setattr(answering, "_clock", lambda: float(next(ticks)))
    retrieved = protocol_episodes(replace(PROTOCOL, retrieval="bm25"), TASK, 0, 2)
    method = Scripted(True)
    monkeypatch.setattr(method, "adapt", lambda task, support: Scripted(next(given)).adapt(task, support))
    given = iter([True, False, True, True, False])
    done = answer_episodes(method, retrieved)
    assert (done.score, done.adapt_seconds, done.query_seconds) == (0.6, 5.0, 5.0)


def test_the_right_answer_is_the_output_or_the_tags():
    examples = [task.examples("test")[0] for task in (TASK, choice_task(), text_task(), tag_task())]
    assert [truth(e) for e in examples] == [e.tags if e.form == "tags" else e.output for e in examples]
    assert truth(Example("a")) == ""


def test_a_cell_has_each_query_with_its_answer_and_scores_to_five_digits():
    episode = protocol_episode(PROTOCOL, TASK, 0, 4)
    answers = [Answer(q.output, [1 / 3, -2 / 3]) for q in episode.queries]
    cell = answered_cell("m", [episode], 3, 4, Answered(answers, 1.0, 2, 0.5, 0.25), "a key")
    assert (cell.seed, cell.k, cell.n, cell.dropped, cell.seconds, cell.adapt_seconds) == (3, 4, 5, 2, 0.75, 0.5)
    assert cell.predictions[0].scores == [0.33333, -0.66667]
    assert [one.truth for one in cell.predictions] == [q.output for q in episode.queries]


def test_validation_gives_each_task_the_mean_over_its_support_sets():
    validate = make_validate(TASKS, ValidationConfig(k=2, seeds=3, queries=4))
    assert validate(Half()) == {task.name: float(task.name.endswith("0")) for task in TASKS}


def test_validation_cells_are_answered_once_for_each_fingerprint_and_setting(tmp_path):
    config = ValidationConfig(k=2, seeds=2, queries=3)

    right = Scripted(True)

    def cells(fingerprint: str = "a", config: ValidationConfig = config, method: Scripted | None = right):
        return validation_cells(method, "m", fingerprint, TASKS[:2], config, cell_store(tmp_path / "cells.jsonl"))

    before = Scripted.adaptations
    first = cells()
    assert [(c.task, c.seed) for c in first] == [(t.name, s) for t in TASKS[:2] for s in (0, 1)]
    assert cells(method=None) == first and Scripted.adaptations == before + 4
    assert fmean(c.score for c in cells("b", method=Scripted(False))) == 0.0
    cells(config=replace(config, queries=2))
    assert Scripted.adaptations == before + 12
