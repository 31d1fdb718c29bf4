"""MAML and FOMAML: meta-gradients by finite differences in float64, special cases, MAML++."""

from __future__ import annotations

import weakref

import pytest
import torch
from backbones import double_backbone
from gradients import EPISODE, flat, gradient_error, gradients
from on_toys import TASKS
from toys import toy_task

from metaicl.methods.gradient.maml import MAML
from metaicl.methods.gradient.meta_sgd import MetaSGD
from metaicl.methods.gradient.reptile import Reptile
from metaicl.methods.in_context.icl import InContext
from metaicl.testing import draw
from task_suites.episodes import EpisodeSampler
from task_suites.formats.prompt_format import PromptFormat


@pytest.mark.parametrize("in_context", [True, False])
def test_fomaml_without_steps_is_the_in_context_method(in_context):
    backbone, e = double_backbone(), draw(TASKS["options"])
    maml = MAML(
        backbone,
        PromptFormat(),
        MAML.Config(order=1, in_context=in_context, inner_steps=0, test_steps=None, inner_lr=0.3),
    )
    plain = InContext(backbone, PromptFormat(), InContext.Config(demonstrations=in_context))
    assert float(maml([e])[0]) == pytest.approx(float(plain([e])[0]), rel=1e-12)


@pytest.mark.parametrize("in_context", [True, False])
def test_the_fomaml_gradient_is_the_query_gradient_at_the_adapted_weights(in_context):
    backbone, e = double_backbone(), draw(TASKS["options"])
    maml = MAML(
        backbone,
        PromptFormat(),
        MAML.Config(order=1, in_context=in_context, inner_steps=2, inner_lr=0.5, test_steps=None),
    )
    loss, _ = maml([e])
    found = torch.autograd.grad(loss, list(backbone.trainable().values()))
    adapted = maml.inner(e.task, e.support)
    with torch.no_grad():
        for name, p in backbone.trainable().items():
            p.copy_(adapted[name])
    shown = e.support if in_context else ()
    detached, _ = InContext(backbone, PromptFormat(), InContext.Config()).loss([(e.task, shown, e.queries)])
    expected = torch.autograd.grad(detached, list(backbone.trainable().values()))
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"in_context": True},
        {"outer_loss": "every"},
        {"outer_loss": "every", "anneal": 7},
        {"learn_rates": True},
    ],
)
def test_the_maml_gradient_equals_central_differences(options):
    method = MAML(
        double_backbone(),
        PromptFormat(),
        MAML.Config(**{"test_steps": None, "inner_steps": 2, "inner_lr": 0.3, **options}),
    ).double()
    third = EpisodeSampler(0, 3, 2).draw(toy_task(), "train", 3)  # annealed part of the way
    assert gradient_error(lambda: method([third])[0], list(method.learned().values())) < 1e-5


@pytest.mark.parametrize("attention", ["dense", "plain"])
def test_the_maml_gradient_is_the_same_by_every_attention_and_equals_central_differences(attention):
    tree, other = (
        MAML(
            double_backbone(attn_implementation=kind),
            PromptFormat(),
            MAML.Config(inner_steps=2, inner_lr=0.3, test_steps=None),
        )
        for kind in ("auto", attention)
    )
    assert tree.backbone.attention == "tree" and other.backbone.attention == attention
    for name, found in gradients(other).items():
        assert torch.allclose(found, gradients(tree)[name], rtol=1e-9, atol=1e-12)
    assert gradient_error(lambda: other([EPISODE])[0], list(other.learned().values()), count=2) < 1e-5


def test_first_and_second_order_differ_by_the_hessian_term_and_agree_at_rate_zero():
    backbone = double_backbone()
    params = list(backbone.trainable().values())

    def gradient(**options) -> torch.Tensor:
        method = MAML(
            backbone,
            PromptFormat(),
            MAML.Config(**{"test_steps": None, "inner_lr": 0.3, "inner_steps": 1, "clip": 0.0, **options}),
        )
        return torch.cat([g.flatten() for g in torch.autograd.grad(method([EPISODE])[0], params)])

    rate = 0.2
    difference = gradient(order=1, inner_lr=rate) - gradient(order=2, inner_lr=rate)
    method = MAML(
        backbone, PromptFormat(), MAML.Config(inner_steps=1, clip=0.0, inner_lr=rate, order=1, test_steps=None)
    )
    (query_gradient,) = [torch.autograd.grad(method([EPISODE])[0], params)]
    with method.learning(2):
        inner = method.support_loss(EPISODE.task, EPISODE.support, method.start())
        grads = torch.autograd.grad(inner, params, create_graph=True)
        product = sum((g * q.detach()).sum() for g, q in zip(grads, query_gradient, strict=True))
        hessian_times_query = torch.autograd.grad(product, params)
    expected = rate * torch.cat([h.flatten() for h in hessian_times_query])
    assert torch.allclose(difference, expected, rtol=1e-7, atol=1e-10)
    assert difference.norm() > 1e-6
    assert torch.allclose(gradient(order=1, inner_lr=0.0), gradient(order=2, inner_lr=0.0), rtol=1e-9, atol=1e-12)


def test_first_order_holds_the_weights_of_the_last_step_alone():
    method = MAML(double_backbone(), PromptFormat(), MAML.Config(inner_steps=4, order=1, test_steps=None, inner_lr=0.3))
    steps, query_loss, made, alive = method.steps, method.query_loss, [], []

    def watched(*args):
        for params in steps(*args):
            made.append(weakref.ref(next(iter(params.values()))))
            yield params

    def counted(*args):
        alive.append(sum(step() is not None for step in made))
        return query_loss(*args)

    method.steps, method.query_loss = watched, counted
    method([EPISODE])
    assert len(made) == 4 and alive == [1]


def test_at_rate_zero_maml_is_joint_training_on_the_queries():
    backbone = double_backbone()
    joint = InContext(backbone, PromptFormat(), InContext.Config(demonstrations=False))
    expected = torch.autograd.grad(joint([EPISODE])[0], list(backbone.trainable().values()))
    for order in (1, 2):
        found = gradients(
            MAML(backbone, PromptFormat(), MAML.Config(inner_steps=2, inner_lr=0.0, order=order, test_steps=None))
        )
        assert torch.allclose(flat(found.values()), flat(expected), rtol=1e-9, atol=1e-12)


def test_the_first_order_gradient_is_that_of_a_model_that_holds_the_adapted_weights():
    backbone, copy = double_backbone(), double_backbone()
    method = MAML(backbone, PromptFormat(), MAML.Config(inner_steps=3, order=1, test_steps=None, inner_lr=0.3))
    adapted = method.inner(EPISODE.task, EPISODE.support)
    with torch.no_grad():
        for name, p in copy.trainable().items():
            p.copy_(adapted[name])
    loss, _ = InContext(copy, PromptFormat(), InContext.Config(demonstrations=False))([EPISODE])
    expected = torch.autograd.grad(loss, list(copy.trainable().values()))
    assert torch.allclose(flat(gradients(method).values()), flat(expected), rtol=1e-9, atol=1e-12)


def test_the_weights_of_the_steps_outer_losses_go_from_equal_ones_to_the_last_alone():
    method = MAML(
        double_backbone(), PromptFormat(), MAML.Config(outer_loss="every", anneal=100, test_steps=None, inner_lr=0.3)
    )
    assert method.importance(4, 0) == [0.25] * 4
    assert method.importance(4, 50) == [0.125, 0.125, 0.125, 0.625]
    assert method.importance(4, 100) == method.importance(4, 5000) == [0.0, 0.0, 0.0, 1.0]
    last = MAML(method.backbone, PromptFormat(), MAML.Config(order=1, test_steps=None, inner_lr=0.3))
    annealed = MAML(
        method.backbone,
        PromptFormat(),
        MAML.Config(order=1, outer_loss="every", anneal=1, test_steps=None, inner_lr=0.3),
    )
    late = EpisodeSampler(0, 3, 2).draw(toy_task(), "train", 1)
    assert torch.equal(last([late])[0], annealed([late])[0])


def test_an_annealed_outer_loss_is_the_weighted_sum_of_those_after_each_step():
    options = {"inner_steps": 2, "inner_lr": 0.3, "order": 1}
    method = MAML(
        double_backbone(),
        PromptFormat(),
        MAML.Config(**{"test_steps": None, "inner_lr": 0.3, "outer_loss": "every", "anneal": 6, **options}),
    )
    third = EpisodeSampler(0, 3, 2).draw(toy_task(), "train", 3)
    found, _ = method([third])
    after = [*method.steps(third.task, third.support, method.start())]
    first, second = (float(method.query_loss(third, params)[0]) for params in after)
    assert float(found) == pytest.approx(0.25 * first + 0.75 * second, rel=1e-12)
    assert abs(first - second) > 1e-4


def test_rates_are_learned_at_first_order_as_products_of_gradients():
    method = MAML(
        double_backbone(),
        PromptFormat(),
        MAML.Config(inner_steps=1, order=1, learn_rates=True, clip=0.0, test_steps=None, inner_lr=0.3),
    ).double()
    found = gradients(method)
    slopes = dict(zip(method.start(), _support_gradient(method), strict=True))
    expected = torch.stack([-(found[f"backbone.model.{n}"] * g).sum() for n, g in slopes.items()])
    assert torch.allclose(found["rates"][0], expected, rtol=1e-9, atol=1e-12)


def _support_gradient(method) -> tuple[torch.Tensor, ...]:
    start = method.start()
    return torch.autograd.grad(method.support_loss(EPISODE.task, EPISODE.support, start), list(start.values()))


def test_a_gradient_flows_to_every_learned_weight_without_inner_steps_too():
    for cls, options in ((MetaSGD, {}), (MAML, {"learn_rates": True}), (Reptile, {})):
        method = cls(double_backbone(), PromptFormat(), cls.Config(inner_steps=0, **options))
        method([EPISODE])[0].backward()
        assert all(p.grad is not None for p in method.learned().values())
