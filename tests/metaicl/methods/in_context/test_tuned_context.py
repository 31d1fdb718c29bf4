"""What context, prefix and prompt tuning share: the steps that train what stands before a query."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from backbones import double_backbone, make_frozen, tiny_config
from on_toys import TASKS, scores
from tuned import CONTEXT, EPISODE, FORM, VIRTUAL, made, prefix_of, rehearsal, start

from metaicl.lm.backbone import Backbone
from metaicl.lm.prompts import Prompt
from metaicl.methods.in_context.icl import InContext
from metaicl.methods.in_context.rehearsal import Rehearsal
from metaicl.methods.in_context.tuned_context import TunedContext
from metaicl.testing import draw
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat


@pytest.mark.parametrize("options", [{"token_dropout": 1.0}, {"lr": 0.0}], ids=str)
@pytest.mark.parametrize("name", CONTEXT)
def test_a_prefix_that_no_demonstration_sees_and_a_rate_of_nothing_teach_nothing(name, options):
    backbone = double_backbone()
    plain = InContext(backbone, FORM, InContext.Config())
    assert np.allclose(scores(made(name, backbone, steps=3, **options), EPISODE), scores(plain, EPISODE), atol=1e-12)


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
    learned = start(method)
    grads = torch.autograd.grad(rehearsal(method).loss(learned.cache(), 0), learned.leaves)
    length = torch.sqrt(sum(g.square().sum() for g in grads))
    with torch.no_grad():
        for leaf, grad in zip(learned.leaves, grads, strict=True):
            g = grad * min(1.0, float(1.0 / (length + 1e-6)))
            leaf -= 0.01 * g / (g.abs() + 1e-8)
    found = method.tuned(EPISODE.task, EPISODE.support, prefix_of(method), None)
    with torch.no_grad():
        expected = learned.cache()
    for a, b in zip(found.layers, expected.layers, strict=True):
        assert torch.allclose(a.keys, b.keys, atol=1e-9) and torch.allclose(a.values, b.values, atol=1e-9)


@pytest.mark.parametrize("name", [*CONTEXT, *VIRTUAL])
def test_steps_lower_the_loss_that_they_are_taken_on(name):
    method = made(name, make_frozen(), steps=10, lr=0.03)
    asked, prefix = rehearsal(method), prefix_of(method)
    with torch.no_grad():
        before = float(asked.loss(start(method).cache(), 0))
        after = float(asked.loss(method.tuned(EPISODE.task, EPISODE.support, prefix, None), 0))
    assert after < before - 0.02


def test_a_step_that_is_too_long_is_one_clear_error(monkeypatch):
    monkeypatch.setattr(Rehearsal, "loss", lambda self, cache, *_: sum(x.keys.sum() for x in cache.layers) * torch.nan)
    with pytest.raises(UserError, match=r"ct_kv: the loss is not finite after 0 steps on toy. Lower lr"):
        scores(made("ct_kv"), EPISODE)


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
