"""Which demonstrations stand in a prompt, and calibration of all in-context methods alike."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from backbones import double_backbone, make_frozen
from hypothesis import given
from hypothesis import strategies as st
from on_toys import TASKS, answers, fresh_backbone, scores
from plain_scores import plain_score
from scipy.special import log_softmax, logsumexp, softmax

from metaicl.methods import METHODS, method_class
from metaicl.methods.in_context.icl import InContext
from metaicl.methods.in_context.selection import Selector, balanced
from metaicl.methods.options import option_types
from metaicl.methods.scoring import PromptScorer
from metaicl.testing import draw
from task_suites.core.errors import UserError
from task_suites.episodes import Episode
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.retrieval import Retriever

EPISODE = draw(TASKS["options"], k=8, queries=4)
SELECTIONS = ("random", "balanced", "nearest")


def icl(backbone=None, **options) -> InContext:
    return InContext(backbone or make_frozen(), PromptFormat(), InContext.Config(**options))


@pytest.mark.parametrize("shown", [0, 8, 20])
@pytest.mark.parametrize("selection", SELECTIONS)
def test_where_all_demonstrations_are_shown_no_selection_changes_anything(selection, shown):
    selector = Selector(EPISODE.task, EPISODE.support, selection, shown)
    assert selector.shared == EPISODE.support
    assert isinstance(icl(selection=selection, shown=shown).adapt(EPISODE.task, EPISODE.support), PromptScorer)


def test_random_demonstrations_are_the_first_that_were_drawn():
    backbone = make_frozen()
    found = scores(icl(backbone, shown=3), EPISODE)
    assert np.array_equal(found, scores(icl(backbone), EPISODE, EPISODE.support[:3]))


@given(answers=st.lists(st.sampled_from("abc"), min_size=1, max_size=12), most=st.integers(1, 12))
def test_balanced_demonstrations_take_the_first_of_each_class_in_turn(answers, most):
    support = [Example(str(i), a, ("a", "b", "c")) for i, a in enumerate(answers)]
    kept = balanced(support, most)
    assert kept == sorted(set(kept)) and len(kept) == min(most, len(support))
    counts, there = Counter(answers[i] for i in kept), Counter(answers)
    for a in there:
        firsts = [i for i, other in enumerate(answers) if other == a][: counts[a]]
        assert [i for i in kept if answers[i] == a] == firsts
        assert counts[a] == there[a] or counts[a] >= max(counts.values()) - 1
    assert balanced(support, len(support)) == list(range(len(support)))


def test_nearest_demonstrations_are_those_of_the_retriever_among_the_support_set_the_nearest_last():
    pool = Retriever(EPISODE.task.replace(load=lambda part: EPISODE.support), "bm25")
    backbone = make_frozen()
    found = scores(icl(backbone, selection="nearest", shown=3), EPISODE)
    plain = icl(backbone)
    orders = set()
    for query, row in zip(EPISODE.queries, found, strict=True):
        near = pool.support(query, 3)[::-1]
        orders.add(near)
        assert np.allclose(row, scores(plain, replace(EPISODE, queries=(query,)), near)[0], atol=1e-5)
    assert len(orders) > 1


@pytest.mark.parametrize("task", ["text", "tags", "choice"])
def test_every_form_of_answer_is_given_after_the_nearest_demonstrations(task):
    e = draw(TASKS[task], k=6, queries=4)
    method = icl(selection="nearest", shown=2)
    together = [a.text for a in answers(method, e)]
    turned = answers(method, replace(e, queries=e.queries[::-1]))[::-1]
    assert together == [a.text for a in turned] and len(together) == 4


def test_a_query_that_is_a_demonstration_is_answered_by_the_others():
    selector = Selector(EPISODE.task, EPISODE.support, "nearest", 7)
    query = EPISODE.support[2]
    ((shown, places),) = selector.groups([query])
    assert places == [0] and len(shown) == 7 and query not in shown


@pytest.mark.parametrize("selection", SELECTIONS)
def test_the_loss_of_meta_training_is_given_the_demonstrations_that_are_shown(selection):
    backbone, e = double_backbone(), draw(TASKS["options"], k=6, queries=3, role="train")
    method = method_class("metaicl").build(backbone, PromptFormat(), {"selection": selection, "shown": 2})
    whole = method_class("metaicl").build(backbone, PromptFormat())
    selector = Selector(e.task, e.support, selection, 2)
    expected, tokens = 0.0, 0
    for query in e.queries:
        ((shown, _),) = selector.groups([query])
        alone = Episode(e.key, e.task, shown, (query,))
        expected += float(whole([alone])[0].detach())
        tokens = max(tokens, whole.longest(e.task, shown, (query,)))
    assert float(method([e])[0].detach()) == pytest.approx(expected, rel=1e-12)
    assert method.longest(e.task, e.support, e.queries) == tokens
    assert 0 < method.tokens(e) < whole.tokens(e) * len(e.queries)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_a_selection_is_calibrated_by_the_demonstrations_that_it_shows(selection):
    backbone = make_frozen()
    found = scores(icl(backbone, selection=selection, shown=4, calibration="cross_fit"), EPISODE)
    plain = icl(backbone, calibration="cross_fit")
    selector = Selector(EPISODE.task, EPISODE.support, selection, 4)
    for query, row in zip(EPISODE.queries, found, strict=True):
        ((shown, _),) = selector.groups([query])
        assert np.allclose(row, scores(plain, replace(EPISODE, queries=(query,)), shown)[0], atol=2e-5)


def test_a_selection_that_nothing_reads_is_refused():
    with pytest.raises(UserError, match="selection"):
        InContext.Config(selection="nearest").check_idle("icl")
    InContext.Config(selection="nearest", shown=2).check_idle("icl")


IN_CONTEXT = [n for n in METHODS if issubclass(method_class(n), InContext)]


@pytest.mark.parametrize("name", IN_CONTEXT)
def test_every_in_context_method_takes_every_calibration_that_its_prompts_allow(name):
    cls, e = method_class(name), draw(TASKS["options"], k=4, queries=2)
    assert {"calibration", "prior_share"} <= option_types(cls.Config).keys()
    steps = {"steps": 1} if "steps" in option_types(cls.Config) else {}
    backbone = fresh_backbone(cls)
    found = {}
    for calibration in ("none", "contextual", "pmi", "cross_fit"):
        if name == "metaicl_channel" and calibration in ("contextual", "pmi"):
            continue
        method = cls.build(backbone, PromptFormat(), {"calibration": calibration, **steps})
        found[calibration] = scores(method, e)
    if name in ("zero_shot", "multitask"):  # no demonstration to fit: options lose the score of an empty query
        assert np.allclose(found.pop("cross_fit") - found["none"], found["pmi"] - found["none"], atol=1e-5)
    differ = [a for a in found if a != "none" and np.abs(softmax(found[a], 1) - softmax(found["none"], 1)).max() < 1e-4]
    assert not differ


def test_channel_scores_are_calibrated_by_cross_fitting_and_choices_of_ones_own_not_at_all():
    form, backbone = PromptFormat(channel=True), make_frozen()
    e = draw(TASKS["options"], k=2, queries=3)
    found = PromptScorer(backbone, form, e.task, e.support, calibration="cross_fit").scores(e.queries)
    asked = []
    for i in (0, 1):
        shown = (e.support[1 - i],)
        asked.append([plain_score(backbone, form, e.task, shown, e.support[i].hidden(), o) for o in e.task.labels])
    share = logsumexp(log_softmax(asked, axis=1), axis=0) - np.log(2)
    right = np.array([1 + sum(d.output == o for d in e.support) for o in e.task.labels]) / 4
    for query, row in zip(e.queries, found, strict=True):
        plain = [plain_score(backbone, form, e.task, e.support, query, o) for o in e.task.labels]
        assert np.allclose(row, np.array(plain) - share + np.log(right), atol=2e-3)
    c = draw(TASKS["choice"], k=4, queries=3)
    bare, same = (PromptScorer(backbone, form, c.task, c.support, calibration=x) for x in ("none", "cross_fit"))
    assert all(np.array_equal(a, b) for a, b in zip(bare.scores(c.queries), same.scores(c.queries), strict=True))


def test_metaicl_on_all_answers_adds_the_demonstrations_answers_to_the_queries_loss():
    backbone = double_backbone()
    every, queries = (
        method_class("metaicl_all_answers").build(backbone, PromptFormat()),
        InContext(backbone, PromptFormat(), InContext.Config()),
    )
    e = draw(TASKS["options"], role="train")
    shown, count = queries.demonstration_loss(e.task, e.support)
    (both, tokens), (alone, fewer) = every([e]), queries([e])
    assert float(both.detach()) == pytest.approx(float((alone + shown).detach()), rel=1e-12) and float(tokens) == float(
        fewer + count
    )
    assert torch.isfinite(both)
