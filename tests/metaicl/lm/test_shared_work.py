"""Work of a frozen model is done once, is the same for all who ask, and is paid for by each of them."""

from __future__ import annotations

import time

import pytest
import torch
from backbones import make_frozen
from hypothesis import given
from hypothesis import strategies as st
from toys import toy_task

from eval.answering import answer_episode
from examples import examples
from metaicl.lm.shared_work import SharedWork, nothing_shared, rows_shared, saved_seconds
from metaicl.methods import method_class
from task_suites.episodes import EpisodeSampler
from task_suites.formats.prompt_format import PromptFormat

IN_CONTEXT = {
    "none": ("icl", {}),
    "contextual": ("icl", {"calibration": "contextual"}),
    "pmi": ("icl", {"calibration": "pmi"}),
    "cross_fit": ("icl", {"calibration": "cross_fit"}),
    "tuned": ("ct_kv", {"steps": 2}),
}


@examples(40)
@given(keys=st.lists(st.integers(0, 9), max_size=60), most=st.integers(0, 400))
def test_a_result_is_that_of_its_key_whatever_was_dropped_and_the_bound_holds(keys, most):
    work, made = SharedWork(most), []
    for key in keys:
        found = work.get(key, lambda key=key: made.append(key) or torch.full((key,), float(key), dtype=torch.float64))
        assert found.tolist() == [float(key)] * key
        assert 8 * sum(kept for kept in work._results) <= most
    if most == 400:
        assert sorted(made) == sorted(set(keys))


def test_what_is_found_is_paid_for_with_what_it_took_and_nothing_is_kept_where_nothing_is_shared():
    work = SharedWork()
    before = saved_seconds()
    work.get("key", lambda: time.sleep(0.02) or torch.ones(1))
    assert saved_seconds() == before
    work.get("key", lambda: pytest.fail("made again"))
    assert saved_seconds() - before >= 0.02
    with nothing_shared():
        assert work.get("key", lambda: torch.zeros(1)).item() == 0 and work.get("other", lambda: torch.zeros(1)) == 0
    assert len(work) == 1


@pytest.mark.parametrize("overflow", ["refuse", "drop"])
def test_answers_do_not_depend_on_the_methods_that_ran_before(overflow):
    """Bit for bit, in any order, also of a method that trains the states of its prefix on the same frozen weights."""
    task, backbone = toy_task(), make_frozen()
    episode = EpisodeSampler(0, 5, 6).draw(task, "test", 0)
    alone = {}
    for name, (method, options) in IN_CONTEXT.items():
        built = method_class(method).build(backbone, PromptFormat(), {**options, "overflow": overflow})
        with nothing_shared():
            alone[name] = [a.scores.tolist() for a in answer_episode(built, episode).answers]
    assert not len(backbone.shared)
    for names in (list(IN_CONTEXT), list(IN_CONTEXT)[::-1]):
        backbone.shared.clear()
        for name in names:
            method, options = IN_CONTEXT[name]
            built = method_class(method).build(backbone, PromptFormat(), {**options, "overflow": overflow})
            with rows_shared():
                assert [a.scores.tolist() for a in answer_episode(built, episode).answers] == alone[name], name


def test_calibrated_methods_score_the_queries_once():
    task, backbone = toy_task(), make_frozen()
    episode = EpisodeSampler(0, 5, 6).draw(task, "test", 0)

    def tokens(calibration):
        before = backbone.tokens_run
        built = method_class("icl").build(backbone, PromptFormat(), {"calibration": calibration})
        with rows_shared():
            answer_episode(built, episode)
        return backbone.tokens_run - before

    first, again = tokens("none"), tokens("none")
    with nothing_shared():
        whole = tokens("contextual")
    assert again < first and tokens("contextual") - again == whole - first  # its own: the content-free queries
