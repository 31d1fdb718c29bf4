"""Meta-SGD: learned rates, their gradients, and MAML as their special case."""

from __future__ import annotations

import pytest
import torch
from backbones import double_backbone
from gradients import EPISODE, gradient_error, gradients

from metaicl.methods.gradient.maml import MAML
from metaicl.methods.gradient.meta_sgd import MetaSGD
from task_suites.formats.prompt_format import PromptFormat


def _support_gradient(method) -> tuple[torch.Tensor, ...]:
    start = method.start()
    return torch.autograd.grad(method.support_loss(EPISODE.task, EPISODE.support, start), list(start.values()))


@pytest.mark.parametrize("order", [1, 2])
def test_the_gradient_of_rates_is_minus_query_gradient_times_support_gradient(order):
    method = MetaSGD(
        double_backbone(),
        PromptFormat(),
        MetaSGD.Config(inner_steps=1, order=order, clip=0.0, inner_lr=0.2, test_steps=None),
    )
    found = gradients(method)
    adapted = method.inner(EPISODE.task, EPISODE.support)
    at_adapted = torch.autograd.grad(method.query_loss(EPISODE, adapted)[0], list(adapted.values()))
    for i, (query, support) in enumerate(zip(at_adapted, _support_gradient(method), strict=True)):
        assert torch.allclose(found[f"alpha.{i}"], -query * support, rtol=1e-6, atol=1e-11)
        assert found[f"alpha.{i}"].shape == list(method.start().values())[i].shape


def test_the_meta_sgd_gradient_equals_central_differences_in_weights_and_rates():
    method = MetaSGD(double_backbone(), PromptFormat(), MetaSGD.Config(inner_steps=2, inner_lr=0.3, test_steps=None))
    for group in (list(method.start().values()), list(method.alpha)):
        assert gradient_error(lambda: method([EPISODE])[0], group) < 1e-5


def test_constant_rates_are_maml_bit_for_bit():
    backbone = double_backbone()
    maml = gradients(MAML(backbone, PromptFormat(), MAML.Config(inner_steps=2, inner_lr=0.3, test_steps=None)))
    found = gradients(MetaSGD(backbone, PromptFormat(), MetaSGD.Config(inner_steps=2, inner_lr=0.3, test_steps=None)))
    assert all(torch.equal(found[n], g) for n, g in maml.items())


def test_a_negative_rate_goes_up_the_loss():
    method = MetaSGD(double_backbone(), PromptFormat(), MetaSGD.Config(inner_steps=1, inner_lr=0.05, test_steps=None))
    before = float(method.support_loss(EPISODE.task, EPISODE.support, method.start()))
    down = float(method.support_loss(EPISODE.task, EPISODE.support, method.inner(EPISODE.task, EPISODE.support)))
    with torch.no_grad():
        for alpha in method.alpha:
            alpha.neg_()
    up = float(method.support_loss(EPISODE.task, EPISODE.support, method.inner(EPISODE.task, EPISODE.support)))
    assert down < before < up
