"""Context tuning, prefix tuning and prompt tuning against plain sequences, their special cases, and peft."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from backbones import double_backbone, make_frozen, tiny_config
from gradients import gradient_error
from on_toys import TASKS, answers, scores

from metaicl.lm.backbone import Backbone
from metaicl.lm.prompts import Prompt
from metaicl.methods import method_class
from metaicl.methods.in_context.icl import InContext
from metaicl.methods.in_context.tuned_context import Rehearsal, TunedContext, drop_tokens
from metaicl.testing import draw
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat

CONTEXT, VIRTUAL = ("ct_kv", "ct_prompt"), ("prefix_tuning", "prompt_tuning")
EPISODE = draw(TASKS["options"], k=3, queries=3)
FORM = PromptFormat(instruction=True)


def made(name: str, backbone: Backbone | None = None, form: PromptFormat = FORM, **options) -> TunedContext:
    return method_class(name).build(backbone or double_backbone(), form, options)


def prefix_of(method: TunedContext, e=EPISODE) -> tuple[int, ...]:
    return (*method.virtual(e.task), *method.prompt(e.task, e.support).stable)


def rehearsal(method: TunedContext, e=EPISODE) -> Rehearsal:
    return Rehearsal(method, e.task, e.support, prefix_of(method, e))


def start(method: TunedContext, e=EPISODE):
    prefix = prefix_of(method, e)
    return method._start((method.virtual(e.task) or prefix)[: len(prefix)], prefix, None)


# -- special cases ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("calibration", ["none", "pmi", "cross_fit"])
@pytest.mark.parametrize("attention", ["tree", "dense"])
@pytest.mark.parametrize("name", CONTEXT)
def test_context_tuning_without_steps_is_in_context_learning(name, attention, calibration):
    backbone = Backbone.load(tiny_config(weights="frozen", attn_implementation=attention))
    plain = InContext(backbone, PromptFormat(), InContext.Config(calibration=calibration))
    tuned = made(name, backbone, PromptFormat(), steps=0, calibration=calibration)
    found, expected = scores(tuned, EPISODE), scores(plain, EPISODE)
    # the quarters' prompts share what they begin with in plain in-context learning: another order of rounding
    assert np.allclose(found, expected, atol=1e-5) if calibration == "cross_fit" else np.array_equal(found, expected)


@pytest.mark.parametrize("task", ["text", "tags", "choice"])
def test_texts_tags_and_choices_without_steps_are_those_of_in_context_learning(task):
    e, backbone = draw(TASKS[task], k=3, queries=3), make_frozen()
    plain = InContext(backbone, PromptFormat(), InContext.Config())
    for name in CONTEXT:
        found = answers(made(name, backbone, PromptFormat(), steps=0), e)
        assert [a.text for a in found] == [a.text for a in answers(plain, e)]


@pytest.mark.parametrize("name", VIRTUAL)
def test_virtual_tokens_of_a_text_without_steps_are_that_text_before_the_prompt(name):
    method = made(name, form=PromptFormat(), steps=0, num_virtual_tokens=12)
    text = method.backbone.tokenizer.decode(method.virtual(EPISODE.task))
    assert text == "Say what it "
    before = method.form.of(EPISODE.task, None).branch(EPISODE.queries[0], "")[0].text
    ids = method.backbone.encode(f"{text}{before}")
    options = [method.backbone.encode(f" {o}") for o in EPISODE.queries[0].options]
    with torch.no_grad():
        lps = [torch.log_softmax(method.backbone.plain_logits([*ids, *o]), -1)[len(ids) - 1 : -1] for o in options]
    expected = [float(lp[range(len(o)), list(o)].mean()) for lp, o in zip(lps, options, strict=True)]
    found = method.adapt(EPISODE.task, EPISODE.support).scores([EPISODE.queries[0].hidden()])[0]
    assert np.allclose(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("options", [{"token_dropout": 1.0}, {"lr": 0.0}], ids=str)
@pytest.mark.parametrize("name", CONTEXT)
def test_a_prefix_that_no_demonstration_sees_and_a_rate_of_nothing_teach_nothing(name, options):
    backbone = double_backbone()
    plain = InContext(backbone, FORM, InContext.Config())
    assert np.allclose(scores(made(name, backbone, steps=3, **options), EPISODE), scores(plain, EPISODE), atol=1e-12)


def test_a_single_demonstration_is_hidden_from_itself_and_teaches_nothing_without_an_instruction():
    backbone, one = double_backbone(), replace(EPISODE, support=EPISODE.support[:1])
    plain = InContext(backbone, PromptFormat(), InContext.Config())
    hidden, open_ = (
        made("ct_kv", backbone, PromptFormat(), steps=3, leave_one_out=o, token_dropout=0.0) for o in (True, False)
    )
    assert np.allclose(scores(hidden, one), scores(plain, one), atol=1e-12)
    assert np.abs(scores(open_, one) - scores(plain, one)).max() > 1e-4


# -- the loss and its gradient ---------------------------------------------------------------------------------------


def plain_losses(method: TunedContext, e=EPISODE) -> torch.Tensor:
    """The demonstrations' mean log-likelihoods, each from one plain sequence under a mask of its own."""
    backbone, found = method.backbone, []
    prompt = Prompt(backbone, method.form, e.task, e.support if method.config.demonstrations else ())
    prefix = prefix_of(method, e)
    for i, example in enumerate(e.support):
        branch = prompt.branch(method.form.of(e.task, None).branch(example, example.output))
        ids = [*prefix, *branch.ids]
        sees = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()
        if method.config.demonstrations and method.config.leave_one_out:
            span = prompt.demonstration_spans()[i]
            sees[len(prefix) :, span.start : span.stop] = False
        mask = torch.zeros(1, 1, len(ids), len(ids), dtype=torch.float64).masked_fill(~sees, -1e300)
        backbone.run_with("plain")
        logits = backbone.model(input_ids=torch.tensor([ids]), attention_mask=mask).logits[0]
        backbone.run_with("tree")
        first = len(prefix) + branch.scored
        found.append(-torch.log_softmax(logits, -1)[range(first - 1, len(ids) - 1), ids[first:]])
    return torch.cat(found).mean()


@pytest.mark.parametrize("leave_one_out", [True, False])
@pytest.mark.parametrize("name", CONTEXT)
def test_the_loss_is_that_of_plain_sequences_in_which_a_demonstration_is_hidden_from_its_query(name, leave_one_out):
    method = made(name, leave_one_out=leave_one_out, token_dropout=0.0)
    with torch.no_grad():
        found = rehearsal(method).loss(start(method)[1](), 0)
        assert float(found) == pytest.approx(float(plain_losses(method)), rel=1e-12)


@pytest.mark.parametrize("name", VIRTUAL)
def test_the_loss_of_virtual_tokens_is_that_of_plain_sequences_after_them(name):
    method = made(name)
    with torch.no_grad():
        found = rehearsal(method).loss(start(method)[1](), 0)
        assert float(found) == pytest.approx(float(plain_losses(method)), rel=1e-12)


@pytest.mark.parametrize("objective", ["tokens", "options"])
@pytest.mark.parametrize("name", [*CONTEXT, *VIRTUAL])
def test_the_gradient_of_what_is_trained_equals_central_differences(name, objective):
    method = made(name, objective=objective)
    asked, (leaves, cache_of) = rehearsal(method), start(method)
    assert all(leaf.dtype == torch.float64 for leaf in leaves)
    assert gradient_error(lambda: asked.loss(cache_of(), 1), leaves) < 1e-6


def test_a_demonstrations_own_states_get_no_gradient_from_its_answer_and_those_of_all_others_do():
    method = made("ct_kv", token_dropout=0.0)
    leaves, cache_of = start(method)
    spans = method.prompt(EPISODE.task, EPISODE.support).demonstration_spans()
    whole = rehearsal(method)
    for i, span in enumerate(spans):
        alone = copy.copy(whole)
        losses: list[torch.Tensor] = []
        method.query_loss = lambda scored, query, own=losses: own.append(-scored[0].sum()) or own[-1]
        alone.loss(cache_of(), 0)
        del method.query_loss
        grads = torch.autograd.grad(losses[i], leaves)
        for grad in grads:
            touched = grad[0].abs().amax((0, 2)) > 0
            assert not touched[span.start : span.stop].any()
            assert touched[: span.start].all() and touched[span.stop :].all()


def test_the_spans_of_demonstrations_cover_all_but_what_stands_before_them():
    for form in (FORM, PromptFormat(), PromptFormat(channel=True, instruction=True)):
        prompt = Prompt(double_backbone(), form, EPISODE.task, EPISODE.support)
        spans = prompt.demonstration_spans()
        assert spans[-1].stop == len(prompt.stable) and all(a.stop >= b.start for a, b in pairwise(spans))
        tokenizer = double_backbone().tokenizer
        for example, span in zip(EPISODE.support, spans, strict=True):
            text = tokenizer.decode(prompt.stable[span.start : span.stop])
            assert example.input in text and not any(o.input in text for o in EPISODE.support if o != example)


@pytest.mark.parametrize("name", [*CONTEXT, *VIRTUAL])
def test_one_step_is_adamws_on_the_plain_loss(name):
    """Its first step moves each number by the rate against the sign of its gradient, but for the optimiser's 1e-8."""
    options = {"token_dropout": 0.0} if name in CONTEXT else {}
    method = made(name, steps=1, lr=0.01, **options)
    leaves, cache_of = start(method)
    grads = torch.autograd.grad(rehearsal(method).loss(cache_of(), 0), leaves)
    length = torch.sqrt(sum(g.square().sum() for g in grads))
    with torch.no_grad():
        for leaf, grad in zip(leaves, grads, strict=True):
            g = grad * min(1.0, float(1.0 / (length + 1e-6)))
            leaf -= 0.01 * g / (g.abs() + 1e-8)
    found = method.tuned(EPISODE.task, EPISODE.support, prefix_of(method), None)
    with torch.no_grad():
        expected = cache_of()
    for a, b in zip(found.layers, expected.layers, strict=True):
        assert torch.allclose(a.keys, b.keys, atol=1e-9) and torch.allclose(a.values, b.values, atol=1e-9)


@pytest.mark.parametrize("name", [*CONTEXT, *VIRTUAL])
def test_steps_lower_the_loss_that_they_are_taken_on(name):
    method = made(name, make_frozen(), steps=10, lr=0.03)
    asked, prefix = rehearsal(method), prefix_of(method)
    with torch.no_grad():
        before = float(asked.loss(start(method)[1](), 0))
        after = float(asked.loss(method.tuned(EPISODE.task, EPISODE.support, prefix, None), 0))
    assert after < before - 0.02


def test_a_step_that_is_too_long_is_one_clear_error(monkeypatch):
    monkeypatch.setattr(Rehearsal, "loss", lambda self, cache, *_: sum(x.keys.sum() for x in cache.layers) * torch.nan)
    with pytest.raises(UserError, match=r"ct_kv: the loss is not finite after 0 steps on toy. Lower lr"):
        scores(made("ct_kv"), EPISODE)


# -- what is random, and what is kept apart --------------------------------------------------------------------------


def test_dropped_tokens_are_a_function_of_support_set_and_step_and_as_many_as_asked_for():
    one, again, other = (drop_tokens(0.3, EPISODE.support, 4000, step) for step in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert float(one.double().mean()) == pytest.approx(0.7, abs=0.02)
    assert drop_tokens(0.0, EPISODE.support, 50, 1).all() and not drop_tokens(1.0, EPISODE.support, 50, 1).any()


@pytest.mark.parametrize("name", ["ct_kv", "prefix_tuning"])
def test_cross_fitting_trains_on_each_part_of_the_demonstrations_without_the_part_it_scores(name, monkeypatch):
    e, seen = draw(TASKS["options"], k=8, queries=2), []
    tuned = TunedContext.tuned

    def recorded(self, task, support, prefix, params):
        seen.append(set(support))
        return tuned(self, task, support, prefix, params)

    monkeypatch.setattr(TunedContext, "tuned", recorded)
    scores(made(name, make_frozen(), steps=1, calibration="cross_fit"), e)
    whole = set(e.support)
    assert seen[0] == whole and [len(whole - part) for part in seen] == [0, 2, 2, 2, 2]
    assert set().union(*(whole - part for part in seen)) == whole


@pytest.mark.parametrize("name", VIRTUAL)
def test_virtual_tokens_do_not_depend_on_the_order_of_the_demonstrations(name):
    method = made(name, make_frozen(), steps=3)
    turned = EPISODE.support[::-1]
    assert method.order_free and np.array_equal(scores(method, EPISODE), scores(method, EPISODE, turned))


def test_virtual_tokens_are_repeated_to_their_number_or_drawn_by_it_alone():
    text, drawn = (made("prompt_tuning", num_virtual_tokens=90, init=init) for init in ("text", "sample_vocab"))
    once = text.backbone.encode("Say what it is. fruit, tool")
    assert text.virtual(EPISODE.task) == (once * 4)[:90]
    assert len(drawn.virtual(EPISODE.task)) == 90 and drawn.virtual(EPISODE.task) == drawn.virtual(TASKS["text"])


@pytest.mark.parametrize("name", [*CONTEXT, *VIRTUAL])
def test_a_model_that_keeps_no_states_is_refused_with_the_way_out(name):
    backbone = Backbone.load(tiny_config(weights="frozen", attn_implementation="plain"))
    with pytest.raises(UserError, match=rf"{name} trains the states of a prompt, and tiny-random keeps none.*ttt"):
        scores(made(name, backbone), EPISODE)


def test_a_prompt_leaves_room_for_the_demonstrations_as_queries(monkeypatch):
    backbone, short = make_frozen(), Example("x", None, EPISODE.task.labels)
    method = made("ct_kv", backbone, PromptFormat(), overflow="drop", steps=1)
    plain, refusing = (InContext(backbone, PromptFormat(), InContext.Config()), made("ct_kv", backbone, PromptFormat()))
    longest = refusing.longest(EPISODE.task, EPISODE.support, [short])
    assert longest > plain.longest(EPISODE.task, EPISODE.support, [short])
    for context, dropped in ((longest, 0), (longest - 1, 1)):
        monkeypatch.setattr(type(backbone), "context", context)
        predictor = method.adapt(EPISODE.task, EPISODE.support)
        assert np.isfinite(predictor.scores([short])[0]).all() and predictor.dropped == dropped


# -- peft ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VIRTUAL)
def test_peft_gives_the_same_logits_to_a_plain_sequence(name):
    from peft import PrefixTuningConfig, PromptTuningConfig, get_peft_model

    backbone = make_frozen()
    method = made(name, backbone, PromptFormat(), num_virtual_tokens=5)
    virtual, ids = method.virtual(EPISODE.task), list(backbone.encode("the pear is a fruit"))
    (leaves, cache_of), generator = method._start(virtual, virtual, None), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for leaf in leaves:
            leaf.add_(0.3 * torch.randn(leaf.shape, generator=generator))
        own = backbone.model(
            input_ids=torch.tensor([ids]),
            position_ids=torch.arange(5, 5 + len(ids))[None],
            cache=cache_of(),
        ).logits[0]
    kind = PrefixTuningConfig if name == "prefix_tuning" else PromptTuningConfig
    theirs = get_peft_model(make_frozen().model, kind(task_type="CAUSAL_LM", num_virtual_tokens=5))
    (weight,) = [p for n, p in theirs.named_parameters() if "prompt_encoder" in n]
    with torch.no_grad():  # peft holds a row of all layers' keys and values for each token
        flat = [leaf[0].transpose(0, 1).flatten(1) for leaf in leaves] if name == "prefix_tuning" else leaves
        weight.copy_(torch.cat(flat, 1))
        found = theirs(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long)).logits
    assert torch.allclose(own, found[0, -len(ids) :], atol=1e-5)
