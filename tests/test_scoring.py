"""Scores and generated answers behind a shared prefix equal the plain slow way, whatever the batches were."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toys import choice_task, text_task, toy_task

from metaicl.scoring import PromptScorer, prompt_prefix
from task_suites.episodes import EpisodeSampler
from task_suites.errors import UserError
from task_suites.formats import PromptFormat

FORMATS = [PromptFormat(), PromptFormat(channel=True), PromptFormat(instruction=True)]


def episode(task, k=4, queries=6):
    return EpisodeSampler(0, k, queries).draw(task, "test", 0)


def plain_score(backbone, form, task, support, query, option) -> float:
    """Log-probability of the scored segment from one plain sequence: token mean (direct) or sum (channel)."""
    before = [*form.opening(task), *(s for e in support for s in form.demonstration(e))]
    ids, scored = [], []
    for segment in [*before, *form.branch(query, option)]:
        tokens = backbone.encode(segment.text)
        if segment.scored and segment not in before:
            scored = range(len(ids), len(ids) + len(tokens))
        ids += tokens
    with torch.no_grad():
        lp = torch.log_softmax(backbone.plain_logits(ids[:-1]), -1)
    values = [float(lp[i - 1, ids[i]]) for i in scored]
    return sum(values) if form.channel else sum(values) / len(values)


@pytest.mark.parametrize("form", FORMATS, ids=["direct", "channel", "instruction"])
@pytest.mark.parametrize("task", [toy_task(), choice_task()], ids=lambda t: t.name)
def test_scores_equal_those_of_plain_sequences(frozen, form, task):
    e = episode(task)
    found = PromptScorer(frozen, form, task, e.support).scores([q.hidden() for q in e.queries])
    expected = [[plain_score(frozen, form, task, e.support, q, o) for o in q.options] for q in e.queries]
    assert np.allclose(found, expected, atol=2e-4 if form.channel else 1e-5)


def test_scores_do_not_depend_on_batches_order_or_earlier_calls(frozen):
    e = episode(toy_task())
    queries = [q.hidden() for q in e.queries]
    whole = PromptScorer(frozen, PromptFormat(), e.task, e.support).scores(queries)
    small = PromptScorer(frozen, PromptFormat(), e.task, e.support, row_tokens=10)
    assert np.allclose(small.scores(queries), whole, atol=1e-5)
    assert np.allclose(small.scores(queries[::-1])[::-1], whole, atol=1e-5)
    assert np.allclose([small.scores([q])[0] for q in queries], whole, atol=1e-5)


def test_the_prefix_runs_once_for_many_calls(frozen):
    e = episode(toy_task())
    scorer = PromptScorer(frozen, PromptFormat(), e.task, e.support)
    scorer.scores([e.queries[0].hidden()])
    before = frozen.tokens_run
    scorer.scores([e.queries[0].hidden()])
    branch = PromptFormat().branch(e.queries[0], max(e.queries[0].options, key=len))
    assert frozen.tokens_run - before <= 2 * sum(len(frozen.encode(s.text)) for s in branch)


def test_no_queries_give_no_scores(frozen):
    e = episode(toy_task())
    scorer = PromptScorer(frozen, PromptFormat(), e.task, e.support)
    assert scorer.scores([]) == [] and scorer.generate([]) == []


@pytest.mark.parametrize("k", [0, 3])
def test_generated_texts_equal_those_of_plain_greedy_decoding(frozen, k):
    task = text_task()
    e = episode(task, k=3)
    scorer = PromptScorer(frozen, PromptFormat(), task, e.support[:k], row_tokens=80)
    found = scorer.generate([q.hidden() for q in e.queries], max_new_tokens=6)
    for query, text in zip(e.queries, found, strict=True):
        segments = [s for d in e.support[:k] for s in PromptFormat().demonstration(d)]
        ids = [t for s in [*segments, PromptFormat().question(query)] for t in frozen.encode(s.text)]
        start = len(ids)
        with torch.no_grad():
            while len(ids) < start + 6:
                ids.append(int(frozen.plain_logits(ids)[-1].argmax()))
                if "\n" in frozen.tokenizer.decode(ids[start:]) or ids[-1] == frozen.tokenizer.eos_token_id:
                    break
        decoded = frozen.tokenizer.decode(ids[start:], skip_special_tokens=True)
        assert text == decoded.split("\n")[0].strip()


def test_generation_leaves_the_prefix_as_it_was(frozen):
    e = episode(text_task(), k=3)
    scorer = PromptScorer(frozen, PromptFormat(), e.task, e.support)
    queries = [q.hidden() for q in e.queries]
    assert scorer.generate(queries, 4) == scorer.generate(queries, 4)


def test_a_model_without_tree_masks_gives_the_same_scores_and_texts(frozen, monkeypatch):
    task, text = toy_task(), text_task()
    e, t = episode(task), episode(text, k=3)
    scores = PromptScorer(frozen, PromptFormat(), task, e.support).scores(e.queries)
    texts = PromptScorer(frozen, PromptFormat(), text, t.support).generate(t.queries, 5)
    monkeypatch.setattr(frozen, "attention", "plain")
    assert np.allclose(PromptScorer(frozen, PromptFormat(), task, e.support).scores(e.queries), scores, atol=1e-5)
    assert PromptScorer(frozen, PromptFormat(), text, t.support).generate(t.queries, 5) == texts


def test_a_prompt_beyond_the_context_is_refused_with_the_way_out(frozen, monkeypatch):
    monkeypatch.setattr(type(frozen), "context", 100)
    e = episode(toy_task(), k=8)
    with pytest.raises(UserError, match=r"does not fit.*8 demonstrations.*at most 100 tokens.*drop"):
        PromptScorer(frozen, PromptFormat(), e.task, e.support).scores(e.queries)


def test_dropping_takes_whole_demonstrations_from_the_end_and_counts_them(frozen, monkeypatch):
    e = episode(toy_task(), k=8)
    form = PromptFormat()
    sizes = [sum(len(frozen.encode(s.text)) for s in form.demonstration(d)) for d in e.support]
    monkeypatch.setattr(type(frozen), "context", 5 + sum(sizes[:3]) + sizes[3] // 2)
    ids, dropped = prompt_prefix(frozen, form, e.task, e.support, longest_branch=5, overflow="drop")
    assert (len(ids), dropped) == (sum(sizes[:3]), 5)


def test_a_query_longer_than_the_context_is_refused_even_when_dropping(frozen, monkeypatch):
    monkeypatch.setattr(type(frozen), "context", 10)
    e = episode(toy_task(), k=2)
    with pytest.raises(UserError, match="does not fit"):
        PromptScorer(frozen, PromptFormat(), e.task, e.support, overflow="drop").scores(e.queries)
