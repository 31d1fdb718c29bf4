"""Context tuning against plain sequences, and in-context learning as its special case."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from backbones import double_backbone, make_frozen, tiny_config
from on_toys import TASKS, answers, scores
from tuned import CONTEXT, EPISODE, made, plain_losses, rehearsal, start

from metaicl.lm.backbone import Backbone
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


@pytest.mark.parametrize("leave_one_out", [True, False])
@pytest.mark.parametrize("name", CONTEXT)
def test_the_loss_is_that_of_plain_sequences_in_which_a_demonstration_is_hidden_from_its_query(name, leave_one_out):
    method = made(name, leave_one_out=leave_one_out, token_dropout=0.0)
    with torch.no_grad():
        found = rehearsal(method).loss(start(method)[1](), 0)
        assert float(found) == pytest.approx(float(plain_losses(method)), rel=1e-12)


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
