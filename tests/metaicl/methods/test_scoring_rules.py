"""The settings of a scorer: which are refused, what they are where none is given, and how much it runs at once."""

from __future__ import annotations

import logging
import re
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from plain_scores import episode
from toys import tag_task, text_task, toy_task

from metaicl.lm.backbone import Backbone
from metaicl.lm.context_length import TooLong
from metaicl.lm.prompts import joined
from metaicl.methods.in_context.icl import InContext
from metaicl.methods.scoring import PromptScorer, _fitting, length_rule
from task_suites.core.errors import UserError
from task_suites.formats.prompt_format import PromptFormat

DIRECT, CHANNEL = PromptFormat(), PromptFormat(channel=True)
NO_MEMORY = RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried")


def scorer_of(frozen, task=None, **options) -> PromptScorer:
    e = episode(task or toy_task())
    return PromptScorer(frozen, DIRECT, e.task, e.support, **options)


def test_the_rule_of_length_is_the_formats_where_none_is_given():
    assert (length_rule(DIRECT, None), length_rule(CHANNEL, None)) == ("token_mean", "sum")
    assert length_rule(DIRECT, "sum") == length_rule(CHANNEL, "sum") == "sum"
    assert length_rule(CHANNEL, "character_mean") == "character_mean"


def test_a_share_of_the_prior_lies_between_nothing_and_all():
    for share in (-0.01, 1.01, 2):
        with pytest.raises(UserError, match=f"InContext.prior_share must be between 0 and 1, but is {share}"):
            InContext.Config(calibration="pmi", prior_share=share)
    for share in (0, 1):
        assert InContext.Config(calibration="pmi", prior_share=share).prior_share == share


def test_a_row_has_so_many_tokens_as_are_given_or_as_suit_the_device(frozen):
    usual = 16384 if frozen.device.type == "cuda" else 2048
    assert scorer_of(frozen).row_tokens == usual and scorer_of(frozen, row_tokens=7).row_tokens == 7


@pytest.mark.parametrize(("device", "tokens"), [("cuda", 16384), ("cpu", 2048), ("mps", 2048)])
def test_rows_are_longer_on_a_gpu(frozen, monkeypatch, device, tokens):
    monkeypatch.setattr(Backbone, "device", torch.device(device))
    assert scorer_of(frozen).row_tokens == tokens


def test_a_prompt_that_fills_the_context_to_its_last_token_is_scored_and_generated(frozen, monkeypatch):
    for task in (toy_task(), text_task()):
        e = episode(task)
        query = e.queries[0].hidden()
        scorer = PromptScorer(frozen, DIRECT, e.task, e.support)
        text = "".join(s.text for d in e.support for s in DIRECT.demonstration(d))
        if task.form == "options":
            longest = max(len(frozen.encode(text + joined(DIRECT.branch(query, o)))) for o in query.options)
            ask = scorer.scores
        else:
            longest = len(frozen.encode(text + joined([DIRECT.question(query)]))) + 5
            ask = partial(scorer.generate, max_new_tokens=5)
        monkeypatch.setattr(Backbone, "context", longest)
        assert len(ask([query])) == 1
        monkeypatch.setattr(Backbone, "context", longest - 1)
        with pytest.raises(TooLong):
            ask([query])


@given(st.lists(st.integers(1, 30), min_size=1, max_size=10), st.integers(0, 60), st.randoms())
def test_a_row_takes_the_first_queries_that_fit_and_one_at_least(sizes, budget, rng):
    order = rng.sample(range(len(sizes)), len(sizes))
    row = _fitting(order, sizes, budget)
    used = sum(sizes[i] for i in row)
    assert row == order[: len(row)] and row and (used <= budget or len(row) == 1)
    assert len(row) == len(order) or used + sizes[order[len(row)]] > budget


def test_one_query_without_memory_names_its_task_its_tokens_and_the_way_out(frozen, monkeypatch):
    def fail(*args, **kwargs):
        raise NO_MEMORY

    scorer, e = scorer_of(frozen), episode(toy_task())
    prefix = len(scorer._fit().prompt.stable)
    monkeypatch.setattr(Backbone, "row_logprobs", fail)
    with pytest.raises(UserError) as error:
        scorer.scores([q.hidden() for q in e.queries[:1]])
    found = re.sub(r"a row of \d+ tokens", "a row", str(error.value))
    assert found == (
        f"task toy: no memory for one query; found a row given a prefix of {prefix}. "
        "Use fewer or shorter demonstrations, or a smaller model."
    )


@pytest.mark.parametrize(("tokens", "beams"), [(0, 1), (-1, 1), (1, 0)])
def test_generation_of_no_token_or_no_beam_is_refused(frozen, tokens, beams):
    scorer = scorer_of(frozen, text_task())
    with pytest.raises(UserError) as error:
        scorer.generate([q.hidden() for q in episode(text_task()).queries], tokens, beams)
    assert str(error.value) == f"max_new_tokens and beams must be at least 1; found {tokens}, {beams}"


@pytest.mark.parametrize("shown", [True, False])
def test_an_answer_may_be_twice_as_long_as_the_longest_shown_and_eight_tokens_more(frozen, monkeypatch, shown):
    e, asked = episode(text_task()), []

    def record(self, prefix, questions, limit, beams):
        asked.append((len(questions), limit, beams))
        return ["x"] * len(questions)

    monkeypatch.setattr(PromptScorer, "_generated", record)
    scorer = PromptScorer(frozen, DIRECT, e.task, e.support if shown else ())
    scorer.generate([q.hidden() for q in e.queries])
    longest = max(len(frozen.encode(f" {s.output}")) for s in e.support) if shown else 12
    assert asked == [(len(e.queries), 2 * longest + 8, 1)]


@pytest.mark.parametrize("error", [NO_MEMORY, torch.OutOfMemoryError("CUDA out of memory")])
def test_generation_is_halved_where_memory_runs_out_and_one_alone_is_an_error(frozen, monkeypatch, caplog, error):
    e, batches, most = episode(text_task()), [], [1]

    def generated(self, prefix, questions, limit, beams):
        batches.append(len(questions))
        if len(questions) > most[0]:
            raise error
        return [f"answer {i}" for i in range(len(questions))]

    monkeypatch.setattr(PromptScorer, "_generated", generated)
    queries = [q.hidden() for q in e.queries]
    scorer = PromptScorer(frozen, DIRECT, e.task, e.support)
    with caplog.at_level(logging.WARNING, "metaicl"):
        assert scorer.generate(queries) == ["answer 0"] * len(queries)
    assert batches[0] == len(queries) and batches[-1] == 1 and batches[1] <= -(-len(queries) // 2)
    said = [record.getMessage() for record in caplog.records]
    assert {record.name for record in caplog.records} == {"metaicl"}
    assert said[-1] == f"out of memory: rows of {scorer.row_tokens} tokens from here on" and scorer.row_tokens < 2048
    most[0] = 0
    with pytest.raises(type(error)):
        scorer.generate(queries)


def test_another_error_of_a_generation_passes_through(frozen, monkeypatch):
    def fail(*args):
        raise RuntimeError("something else")

    monkeypatch.setattr(PromptScorer, "_generated", fail)
    with pytest.raises(RuntimeError, match="something else"):
        scorer_of(frozen, text_task()).generate([q.hidden() for q in episode(text_task()).queries])


@pytest.mark.parametrize("shared", [True, False], ids=["tree", "plain"])
def test_preparing_runs_the_prefix_so_that_a_call_pays_for_its_queries_alone(frozen, monkeypatch, shared):
    monkeypatch.setattr(frozen, "attention", frozen.attention if shared else "plain")
    query = episode(toy_task()).queries[0].hidden()

    def run(what) -> int:
        before = frozen.tokens_run
        what()
        return frozen.tokens_run - before

    scorer, unprepared = scorer_of(frozen), scorer_of(frozen)
    first = run(scorer.prepare)
    assert first == (len(scorer._fit().prompt.stable) if shared else 0)
    assert first + run(lambda: scorer.scores([query])) == run(lambda: unprepared.scores([query]))


def test_prompt_and_answer_together_decide_whether_prefixes_are_shared(frozen, monkeypatch):
    """A model with a sliding window shares them within it."""
    asked = []
    monkeypatch.setattr(Backbone, "shares", lambda self, length: asked.append(length) or True)
    text = "".join(s.text for d in episode(toy_task()).support for s in DIRECT.demonstration(d))
    query = episode(toy_task()).queries[0].hidden()
    scorer_of(frozen).scores([query])
    assert asked == [max(len(frozen.encode(text + joined(DIRECT.branch(query, o)))) for o in query.options)]
    asked.clear()
    scorer_of(frozen).generate([query], 7)
    assert asked == [len(frozen.encode(text + joined([DIRECT.question(query)]))) + 7]


@pytest.mark.parametrize("beams", [1, 2])
def test_a_batch_of_answers_takes_the_first_that_fit_into_a_row_and_one_at_least(frozen, monkeypatch, beams):
    e = episode(text_task(), queries=8)
    sizes: list[int] = []
    monkeypatch.setattr(PromptScorer, "_generated", lambda self, p, q, *_: sizes.append(len(q)) or ["x"] * len(q))
    scorer = scorer_of(frozen, text_task())
    questions = scorer._fit([[[DIRECT.question(q)]] for q in e.queries]).branches
    longest = max(len(branch.ids) for (branch,) in questions) + 5
    for budget, expected in ((3 * longest * beams, [3, 3, 2]), (3 * longest * beams - 1, [2, 2, 2, 2]), (1, [1] * 8)):
        sizes.clear()
        scorer.row_tokens = budget
        assert scorer.generate(e.queries, 5, beams) == ["x"] * 8 and sizes == expected


def test_tags_are_read_from_what_is_generated_for_each_sentence(frozen, monkeypatch):
    task = tag_task()
    e = episode(task, k=2, queries=2)
    said = [DIRECT.of(task).written(e.queries[0]), "none"]
    monkeypatch.setattr(PromptScorer, "_generated", lambda self, p, q, *_: said[: len(q)])
    found = PromptScorer(frozen, DIRECT, task, e.support).tag([q.hidden() for q in e.queries])
    assert found == [e.queries[0].tags, ("O",) * 6]
