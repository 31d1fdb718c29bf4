"""What the gradient methods share: steps of the inner loop, its divergence, and layers that run once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from backbones import double_backbone
from gradients import EPISODE, flat, gradients
from on_toys import TASKS

from metaicl.methods.gradient.maml import MAML
from metaicl.methods.gradient.reptile import Reptile
from metaicl.methods.in_context.icl import InContext
from metaicl.testing import draw
from task_suites.core.errors import UserError
from task_suites.formats.prompt_format import PromptFormat


def test_one_inner_step_is_one_step_of_sgd_on_the_support_loss():
    backbone, e = double_backbone(), draw(TASKS["options"])
    maml = MAML(backbone, PromptFormat(), MAML.Config(order=1, inner_steps=1, inner_lr=0.1, clip=1e9, test_steps=None))
    weights = backbone.trainable()
    loss, weight = InContext(backbone, PromptFormat(), InContext.Config(demonstrations=False)).loss(
        [(e.task, (), e.support)]
    )
    grads = torch.autograd.grad(loss / weight, list(weights.values()))
    adapted = maml.inner(e.task, e.support)
    for (name, p), g in zip(weights.items(), grads, strict=True):
        assert torch.allclose(adapted[name], p - 0.1 * g, rtol=0, atol=1e-14) and g.abs().max() > 1e-4


def test_inner_steps_lower_the_support_loss(learnable):
    e = draw(TASKS["options"])
    maml = MAML(learnable, PromptFormat(), MAML.Config(order=1, inner_steps=5, inner_lr=0.5, test_steps=None))
    before, _ = maml.model.query_loss(e.task, (), e.support)
    after, _ = maml.model.query_loss(e.task, (), e.support, maml.inner(e.task, e.support))
    assert float(after) < float(before)


@pytest.mark.parametrize("steps", [1, 6])
def test_a_diverging_inner_loop_is_one_clear_error(learnable, steps):
    e = draw(TASKS["options"])
    with pytest.raises(UserError, match=r"diverged on task toy.*inner step.*Lower inner_lr"):
        MAML(
            learnable,
            PromptFormat(),
            MAML.Config(order=1, inner_steps=steps, inner_lr=1e30, clip=1e30, test_steps=None),
        ).adapt(e.task, e.support)


def test_a_loss_that_grows_from_one_minibatch_to_the_next_is_a_diverging_loop(learnable):
    e = draw(TASKS["options"], k=6)
    method = Reptile(learnable, PromptFormat(), Reptile.Config(inner_steps=4, batch=2, test_steps=None))
    losses = iter([1.0, 2.0, 30.0])
    method.support_loss = lambda task, examples, params: next(losses) + 0.0 * sum(p.sum() for p in params.values())
    with pytest.raises(UserError, match=r"diverged on task toy.*loss 30 after 2 inner steps, 1 at the start"):
        method([e])


@pytest.mark.parametrize("order", [1, 2])
def test_checkpointed_layers_run_again_with_the_weights_of_the_inner_loop(order):
    found = []
    for checkpointing in (False, True):
        backbone = double_backbone(gradient_checkpointing=checkpointing)
        method = MAML(backbone, PromptFormat(), MAML.Config(inner_steps=2, inner_lr=0.5, order=order, test_steps=None))
        adapted = method.inner(EPISODE.task, EPISODE.support)
        found.append(torch.cat([flat(adapted.values()), flat(gradients(method).values())]))
    assert torch.allclose(*found, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("options", [{}, {"learn_rates": True}])
def test_steps_at_test_may_be_others_than_in_training_and_change_no_training(options):
    backbone = double_backbone()
    usual, longer, none = (
        MAML(backbone, PromptFormat(), MAML.Config(inner_steps=2, inner_lr=0.1, test_steps=count, **options))
        for count in (None, 4, 0)
    )
    assert torch.equal(usual([EPISODE])[0], longer([EPISODE])[0])
    start, two, four, zero = (
        torch.cat([p.flatten() for p in weights.values()])
        for weights in (usual.start(), *(m.inner(EPISODE.task, EPISODE.support) for m in (usual, longer, none)))
    )
    with longer.learning(1):
        by_hand = [*longer.steps(EPISODE.task, EPISODE.support, longer.start(), order=0, count=4)]
    assert torch.equal(two, torch.cat([p.flatten() for p in by_hand[1].values()]))
    assert torch.equal(four, torch.cat([p.flatten() for p in by_hand[3].values()]))
    assert torch.equal(zero, start) and not torch.equal(two, four)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_the_last_network_at_the_asked_places_alone_changes_no_derivative(order):
    backbone = double_backbone(layers=2)
    method = MAML(backbone, PromptFormat(), MAML.Config(inner_steps=2, order=order or 1, test_steps=None, inner_lr=0.3))
    params = list(backbone.trainable().values())
    assert backbone.last.module is backbone.lower.layers[-1].mlp

    def found() -> Sequence[torch.Tensor]:
        if order == 0:
            return list(method.inner(EPISODE.task, EPISODE.support).values())
        return torch.autograd.grad(method([EPISODE])[0], params)

    narrow = found()
    backbone.last.module = None
    assert all(torch.allclose(a, b, rtol=1e-10, atol=1e-14) for a, b in zip(narrow, found(), strict=True))
