"""The in-context loss against plain sequences: its tokens, its weight, its objectives."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from backbones import double_backbone
from on_toys import TASKS

from metaicl.methods.in_context.icl import InContext
from metaicl.testing import draw
from task_suites.episodes import Episode
from task_suites.formats.prompt_format import PromptFormat


def test_the_in_context_loss_is_the_mean_negative_log_likelihood_of_query_answers():
    backbone, form, e = double_backbone(), PromptFormat(), draw(TASKS["options"], k=2, queries=3)
    loss, weight = InContext(backbone, form, InContext.Config())([e])
    total, tokens = 0.0, 0
    for q in e.queries:
        segments = [s for d in e.support for s in form.demonstration(d)] + [form.question(q)]
        ids = backbone.encode("".join(s.text for s in segments))
        answer = backbone.encode(f" {q.output}")
        lp = torch.log_softmax(backbone.plain_logits([*ids, *answer])[len(ids) - 1 : -1], -1)
        total -= sum(float(lp[i, t]) for i, t in enumerate(answer))
        tokens += len(answer)
    assert float(loss) == pytest.approx(total, rel=1e-12) and float(weight) == tokens


@pytest.mark.parametrize("supervise", ["queries", "all"])
@pytest.mark.parametrize("channel", [False, True])
def test_the_in_context_loss_pulls_at_the_states_before_its_answers_tokens_and_at_exactly_no_other(
    learnable, channel, supervise
):
    form, e = PromptFormat(channel=channel, instruction=True), draw(TASKS["options"], k=2, queries=1)
    (query,) = e.queries
    shown = [s for d in e.support for s in form.demonstration(d)]
    before, after = [*form.opening(e.task), *shown], form.branch(query, query.output)
    parents, text = set(), ""
    for i, segment in enumerate([*before, *after]):
        first = len(learnable.encode(text.rstrip()))
        text += segment.text
        if segment.scored and (i >= len(before) or supervise == "all"):
            parents |= set(range(first - 1, len(learnable.encode(text)) - 1))
    seen: list[torch.Tensor] = []
    norm = learnable.model.get_base_model().model.norm
    hook = norm.register_forward_hook(lambda module, args, states: seen.append(states))
    loss, _ = InContext(learnable, form, InContext.Config(supervise=supervise))([e])
    hook.remove()
    (states,) = seen
    (gradient,) = torch.autograd.grad(loss, states)
    assert gradient.shape[1] == len(learnable.encode(text)) - 1  # no state is requested after the last token
    assert set(gradient[0].abs().amax(1).nonzero().flatten().tolist()) == parents


def test_the_mean_over_an_answers_tokens_gives_each_query_the_same_weight():
    method, tokens = (
        InContext(double_backbone(), PromptFormat(), InContext.Config(objective=objective))
        for objective in ("answer_mean", "tokens")
    )
    e = draw(TASKS["text"])
    wanted = 0.0
    for query in e.queries:
        loss, count = tokens([Episode(e.key, e.task, e.support, (query,))])
        wanted += float(loss / count)
    loss, weight = method([e])
    assert float(loss) == pytest.approx(wanted, rel=1e-6) and float(weight) == len(e.queries)


@pytest.mark.parametrize("objective", ["tokens", "answer_mean", "options"])
def test_the_loss_of_several_queries_is_the_sum_of_their_own(objective):
    method, e = (
        InContext(double_backbone(), PromptFormat(), InContext.Config(objective=objective)),
        draw(TASKS["options"]),
    )
    together, _ = method([e])
    apart = sum(float(method([Episode(e.key, e.task, e.support, (q,))])[0]) for q in e.queries)
    assert float(together) == pytest.approx(apart, rel=1e-12)


@pytest.mark.parametrize("instruction", [False, True])
@pytest.mark.parametrize("channel", [False, True])
def test_supervising_all_answers_adds_the_demonstrations_own_loss_and_no_token(learnable, channel, instruction):
    form, e = PromptFormat(channel=channel, instruction=instruction), draw(TASKS["options"])
    queries, everything = (InContext(learnable, form, InContext.Config(supervise=s)) for s in ("queries", "all"))
    (alone, tokens), (both, all_tokens) = queries([e]), everything([e])
    shown, shown_tokens = queries.demonstration_loss(e.task, e.support)
    assert float(both - alone) == pytest.approx(float(shown), rel=1e-4)
    assert float(all_tokens - tokens) == float(shown_tokens) > 0
    assert queries.tokens(e) == everything.tokens(e)


def test_changing_a_demonstrations_label_changes_the_loss(learnable):
    method, e = InContext(learnable, PromptFormat(), InContext.Config()), draw(TASKS["options"])
    flipped = tuple(replace(d, output="tool" if d.output == "fruit" else "fruit") for d in e.support)
    other = Episode(e.key, e.task, flipped, e.queries)
    assert float(method([e])[0]) != float(method([other])[0])


def test_option_objective_is_the_cross_entropy_of_the_scores(learnable):
    e = draw(TASKS["options"])
    method = InContext(learnable, PromptFormat(), InContext.Config(objective="options"))
    loss, weight = method([e])
    scores = method.adapt(e.task, e.support).scores([q.hidden() for q in e.queries])
    expected = sum(
        -torch.log_softmax(torch.tensor(s), 0)[q.options.index(q.output)]
        for s, q in zip(scores, e.queries, strict=True)
    )
    assert float(loss) == pytest.approx(float(expected), rel=1e-4) and float(weight) == len(e.queries)


def test_dropped_demonstrations_are_counted_in_training_and_prediction(frozen, monkeypatch):
    e = draw(TASKS["options"], k=8, role="train")
    size = sum(len(frozen.encode(s.text)) for s in PromptFormat().demonstration(e.support[0]))
    monkeypatch.setattr(type(frozen), "context", 5 * size)
    method = InContext(frozen, PromptFormat(), InContext.Config(overflow="drop"))
    with torch.no_grad():
        method([e])
    predictor = method.adapt(e.task, e.support)
    predictor.scores([q.hidden() for q in e.queries])
    assert 0 < method.dropped < 8 and 0 < predictor.dropped < 8
    before = method.dropped
    assert method.tokens(e) > 0 and method.dropped == before  # asking for a size counts nothing
