"""Gradient-based methods: meta-gradients by finite differences in float64, special cases, second derivatives."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from backbones import double_backbone
from gradients import EPISODE, flat, gradient_error, gradients
from toys import toy_task

from metaicl.methods.gradient.maml import MAML
from metaicl.methods.gradient.meta_sgd import MetaSGD
from metaicl.methods.gradient.reptile import Reptile
from metaicl.methods.in_context.icl import InContext
from task_suites.core.errors import UserError
from task_suites.episodes import EpisodeSampler
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat


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


def test_one_step_of_reptile_is_joint_training():
    backbone = double_backbone()
    method = Reptile(
        backbone, PromptFormat(), Reptile.Config(inner_steps=1, inner_lr=0.2, clip=0.0, batch=0, test_steps=None)
    )
    both = (*EPISODE.support, *EPISODE.queries)
    loss, weight = InContext(backbone, PromptFormat(), InContext.Config(demonstrations=False)).loss(
        [(EPISODE.task, (), both)]
    )
    joint = torch.autograd.grad(loss / weight, list(backbone.trainable().values()))
    assert torch.allclose(flat(gradients(method).values()), 0.2 * flat(joint), rtol=1e-9, atol=1e-13)


def fine_tuned(batches: Sequence[Sequence[Example]], rate: float, clip: float) -> torch.Tensor:
    """The weights of a copy after a step of torch's SGD on each batch, answered without demonstrations."""
    copy = double_backbone()
    model, weights = (
        InContext(copy, PromptFormat(), InContext.Config(demonstrations=False)),
        list(copy.trainable().values()),
    )
    optimizer = torch.optim.SGD(weights, lr=rate)
    for batch in batches:
        loss, tokens = model.loss([(EPISODE.task, (), batch)])
        optimizer.zero_grad()
        (loss / tokens).backward()
        if clip:
            longer = float(flat(p.grad for p in weights).norm()) / clip
            for p in weights:
                p.grad /= max(1.0, longer)
        optimizer.step()
    return flat(p.detach() for p in weights)


@pytest.mark.parametrize("clip", [0.0, 0.02])
def test_reptile_with_outer_rate_one_is_plain_fine_tuning_on_the_support_set(clip):
    options = {"inner_steps": 3, "inner_lr": 0.3, "clip": clip}
    method = Reptile(
        double_backbone(),
        PromptFormat(),
        Reptile.Config(**{"test_steps": None, "use_queries": False, "batch": 0, **options}),
    )
    moved = [p - g for p, g in zip(method.start().values(), gradients(method).values(), strict=True)]
    expected = fine_tuned([EPISODE.support] * 3, 0.3, clip)
    assert torch.allclose(flat(moved), expected, rtol=1e-11, atol=1e-14)
    assert torch.allclose(flat(method.inner(EPISODE.task, EPISODE.support).values()), expected, rtol=1e-11, atol=1e-14)
    assert (clip == 0) == torch.equal(expected, fine_tuned([EPISODE.support] * 3, 0.3, 0.0))


def test_reptile_over_two_minibatches_is_a_step_of_fine_tuning_on_each():
    method = Reptile(
        double_backbone(),
        PromptFormat(),
        Reptile.Config(inner_steps=2, inner_lr=0.3, clip=0.0, batch=3, test_steps=None),
    )
    first, second = method.batches(EPISODE)
    assert {*first, *second} == {*EPISODE.support, *EPISODE.queries} and len(first) == len(second) == 3
    start = flat(p.detach() for p in method.start().values())
    away = start - fine_tuned([first, second], 0.3, 0.0)
    assert torch.allclose(flat(gradients(method).values()), away, rtol=1e-10, atol=1e-14)
    loss, weight = method([EPISODE])
    assert float(loss) == pytest.approx(float(away.square().sum() / 2), rel=1e-10) and float(weight) == 1.0


def test_reptile_leaves_weights_and_buffers_as_they_were_from_task_to_task():
    method = Reptile(double_backbone(), PromptFormat(), Reptile.Config(inner_steps=2, test_steps=None))
    state = {n: t.clone() for n, t in method.state_dict().items()}
    episodes = [EpisodeSampler(0, 3, 2).draw(toy_task(), "train", i) for i in range(2)]
    alone = gradients(method, [episodes[1]])
    both, first = gradients(method, episodes), gradients(method, [episodes[0]])
    assert all(torch.equal(state[n], t) for n, t in method.state_dict().items())
    assert all(torch.allclose(both[n], first[n] + alone[n], rtol=1e-12, atol=1e-15) for n in both)


def test_reptiles_minibatches_go_through_the_shuffled_episode_and_are_a_function_of_its_key():
    method = Reptile(double_backbone(), PromptFormat(), Reptile.Config(inner_steps=4, batch=3, test_steps=None))
    episode = EpisodeSampler(0, 4, 2).draw(toy_task(), "train", 0)
    batches = list(method.batches(episode))
    everything = {*episode.support, *episode.queries}
    assert [len(b) for b in batches] == [3] * 4
    assert {*batches[0], *batches[1]} == {*batches[2], *batches[3]} == everything
    assert batches == list(method.batches(episode))
    method.config = replace(method.config, use_queries=False)
    assert {e for b in method.batches(episode) for e in b} == set(episode.support)


def test_reptile_refuses_second_order():
    with pytest.raises(UserError, match=r"Reptile.order must be 1, but is 2"):
        Reptile.Config(order=2)


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
