"""Context tuning against plain sequences, and in-context learning as its special case."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from backbones import double_backbone, make_frozen, tiny_config
from on_toys import TASKS, answers, scores
from tuned import CONTEXT, EPISODE, made, rehearsal, start

from metaicl.lm.backbone import Backbone
from metaicl.methods.in_context.context_tuning import drop_tokens
from metaicl.methods.in_context.icl import InContext
from metaicl.testing import draw
from task_suites.formats.prompt_format import PromptFormat


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


def test_a_single_demonstration_is_hidden_from_itself_and_teaches_nothing_without_an_instruction():
    backbone, one = double_backbone(), replace(EPISODE, support=EPISODE.support[:1])
    plain = InContext(backbone, PromptFormat(), InContext.Config())
    hidden, open_ = (
        made("ct_kv", backbone, PromptFormat(), steps=3, leave_one_out=o, token_dropout=0.0) for o in (True, False)
    )
    assert np.allclose(scores(hidden, one), scores(plain, one), atol=1e-12)
    assert np.abs(scores(open_, one) - scores(plain, one)).max() > 1e-4


def test_a_demonstrations_own_states_get_no_gradient_from_its_answer_and_those_of_all_others_do():
    method = made("ct_kv", token_dropout=0.0)
    learned = start(method)
    spans = method.prompt(EPISODE.task, EPISODE.support).demonstration_spans()
    whole = rehearsal(method)
    for i, span in enumerate(spans):
        alone = copy.copy(whole)
        losses: list[torch.Tensor] = []
        alone.answer_loss = SimpleNamespace(
            of_query=lambda scored, query, own=losses: (own.append(-scored[0].sum()) or own[-1], 1)
        )
        alone.loss(learned.cache(), 0)
        grads = torch.autograd.grad(losses[i], learned.leaves)
        for grad in grads:
            touched = grad[0].abs().amax((0, 2)) > 0
            assert not touched[span.start : span.stop].any()
            assert touched[: span.start].all() and touched[span.stop :].all()


def test_dropped_tokens_are_a_function_of_support_set_and_step_and_as_many_as_asked_for():
    one, again, other = (drop_tokens(0.3, EPISODE.support, 4000, step) for step in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert float(one.double().mean()) == pytest.approx(0.7, abs=0.02)
    assert drop_tokens(0.0, EPISODE.support, 50, 1).all() and not drop_tokens(1.0, EPISODE.support, 50, 1).any()
