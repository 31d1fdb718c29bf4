"""Test-time training against in-context learning and steps taken by hand."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch
from backbones import double_backbone, make_frozen, make_learnable
from on_toys import TASKS, scores

from metaicl.methods import method_class
from metaicl.methods.in_context.icl import InContext
from metaicl.testing import draw
from task_suites.core.errors import UserError
from task_suites.formats.prompt_format import PromptFormat

EPISODE = draw(TASKS["options"], k=4, queries=3)


def made(backbone=None, **options):
    return method_class("ttt").build(backbone or double_backbone(), PromptFormat(), options)


@pytest.mark.parametrize("calibration", ["none", "pmi", "cross_fit"])
def test_test_time_training_without_steps_is_in_context_learning_bit_for_bit(calibration):
    backbone = double_backbone()
    plain = InContext(backbone, PromptFormat(), InContext.Config(calibration=calibration))
    assert np.array_equal(scores(made(backbone, steps=0, calibration=calibration), EPISODE), scores(plain, EPISODE))


def test_each_demonstration_is_left_out_once_a_round_and_asked_given_all_others_in_a_drawn_order():
    method, support = made(), EPISODE.support
    for _ in range(2):  # a function of the support set only
        rounds = list(islice(method.episodes(EPISODE.task, support), 12))
        for start in (0, 4, 8):
            left_out = [query for _, _, (query,) in rounds[start : start + 4]]
            assert set(left_out) == set(support) and len(left_out) == 4
        for _, shown, (query,) in rounds:
            assert query not in shown and {*shown, query} == set(support)
    orders = {tuple(shown) for _, shown, _ in islice(method.episodes(EPISODE.task, support), 40)}
    assert len(orders) > 12
    assert list(method.episodes(EPISODE.task, ())) == []


@pytest.mark.parametrize("supervise", ["queries", "all"])
def test_one_step_is_adamws_on_the_loss_of_leave_one_out_episodes(supervise):
    method = made(steps=1, lr=0.01, supervise=supervise)
    first = list(islice(method.episodes(EPISODE.task, EPISODE.support), 2))
    weights = method.backbone.trainable()
    loss, weight = InContext(method.backbone, method.form, InContext.Config(supervise=supervise)).loss(first)
    grads = torch.autograd.grad(loss / weight, list(weights.values()))
    scale = min(1.0, 1.0 / (float(torch.sqrt(sum(g.square().sum() for g in grads))) + 1e-6))
    found = method.tuned(EPISODE.task, EPISODE.support)
    for (name, p), grad in zip(weights.items(), grads, strict=True):
        expected = p.detach() - 0.01 * grad * scale / (grad.abs() * scale + 1e-8)
        assert torch.allclose(found[name], expected, atol=1e-9)


def test_steps_lower_the_loss_of_the_episodes_that_they_are_taken_on():
    method = made(make_learnable(), steps=12, lr=0.005, episodes=4)
    episodes = list(islice(method.episodes(EPISODE.task, EPISODE.support), 4))
    with torch.no_grad():
        before, after = (
            float(method.loss(episodes, p)[0]) for p in (None, method.tuned(EPISODE.task, EPISODE.support))
        )
    assert after < 0.95 * before


def test_weights_that_cannot_learn_and_a_loss_that_is_not_finite_are_clear_errors(monkeypatch):
    with pytest.raises(UserError, match=r"ttt needs weights to learn.*lora or full"):
        made(make_frozen())
    method = made()
    monkeypatch.setattr(method, "loss", lambda prompts, params: (next(iter(params.values())).sum() * torch.nan, 1.0))
    with pytest.raises(UserError, match=r"ttt: the loss is not finite after 0 steps on toy. Lower lr"):
        method.adapt(EPISODE.task, EPISODE.support)
