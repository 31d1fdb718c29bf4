"""T-net and MT-net: their special cases, masks, and meta-gradients by differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from backbones import double_backbone
from gradients import EPISODE, flat, gradient_error, gradients

from metaicl.lm.config import BackboneConfig
from metaicl.methods.gradient.maml import MAML
from metaicl.methods.gradient.tnet import TNet
from metaicl.methods.in_context.icl import InContext
from task_suites.core.errors import UserError
from task_suites.formats.prompt_format import PromptFormat

TASK, SUPPORT = EPISODE.task, EPISODE.support


def tnet(backbone=None, bend: float = 0.0, **options) -> TNet:
    """A T-net whose transforms are off the identity by `bend`."""
    method = TNet(
        backbone or double_backbone(),
        PromptFormat(),
        TNet.Config(**{"test_steps": None, "inner_steps": 2, "inner_lr": 0.3, **options}),
    )
    with torch.no_grad():
        for i, t in enumerate(method.transforms):
            t.add_(bend * torch.randn(t.shape, generator=torch.Generator().manual_seed(i), dtype=t.dtype))
    return method


def test_a_t_net_at_the_identity_is_maml():
    backbone = double_backbone()
    maml = gradients(MAML(backbone, PromptFormat(), MAML.Config(inner_steps=2, inner_lr=0.3, test_steps=None)))
    found = gradients(tnet(backbone))
    assert all(torch.allclose(found[n], g, rtol=1e-12, atol=1e-15) for n, g in maml.items())


@pytest.mark.parametrize("order", [1, 2])
def test_the_product_moves_by_its_gradient_under_the_metric_t_t_transposed(order):
    method = tnet(bend=0.3, inner_steps=1, clip=0.0, order=order)
    (name,) = method.places
    transform = method.transforms[0].detach()
    start = method.start()
    adapted = method.inner(TASK, SUPPORT)
    product = {**start, name: (transform @ start[name]).detach().requires_grad_()}
    loss = super(TNet, method).support_loss(TASK, SUPPORT, product)
    (slope,) = torch.autograd.grad(loss, [product[name]])
    moved = transform @ adapted[name] - product[name]
    assert torch.allclose(moved, -0.3 * transform @ transform.T @ slope, rtol=1e-9, atol=1e-13)
    assert float(moved.norm()) > 1e-4


def test_the_t_net_gradient_equals_central_differences_in_weights_and_transforms():
    method = tnet(bend=0.2)
    for group in (list(method.start().values()), list(method.transforms)):
        assert gradient_error(lambda: method([EPISODE])[0], group) < 1e-5


@pytest.mark.parametrize("in_context", [False, True])
def test_a_t_net_answers_as_a_model_that_holds_the_products_in_place_of_its_adapters(in_context):
    method, held = tnet(bend=0.3, in_context=in_context), double_backbone()
    adapted = method.inner(TASK, SUPPORT)
    (name,) = method.places
    with torch.no_grad():
        for n, p in held.trainable().items():
            p.copy_(method.transforms[0] @ adapted[n] if n == name else adapted[n])
    queries = [q.hidden() for q in EPISODE.queries]
    expected = (
        InContext(held, PromptFormat(), InContext.Config(demonstrations=in_context))
        .adapt(TASK, SUPPORT)
        .scores(queries)
    )
    assert np.allclose(method.adapt(TASK, SUPPORT).scores(queries), expected, rtol=0, atol=1e-11)
    untransformed = method.model.predictor(TASK, SUPPORT, adapted).scores(queries)
    assert np.abs(np.array(untransformed) - expected).max() > 1e-3


@pytest.mark.parametrize("order", [1, 2])
def test_transforms_are_learned_outside_and_never_moved_inside(order):
    method = tnet(order=order)
    before = [t.detach().clone() for t in method.transforms]
    assert all(g.abs().max() > 0 for n, g in gradients(method).items() if n.startswith("transforms"))
    method.adapt(TASK, SUPPORT)
    assert all(torch.equal(a, b) for a, b in zip(before, method.transforms, strict=True))


def test_a_t_net_without_adapters_is_refused():
    from metaicl.lm.backbone import Backbone
    from metaicl.lm.tiny import tiny_model, tiny_tokenizer

    full = Backbone(tiny_model(), tiny_tokenizer(), BackboneConfig("tiny", "full", dtype="float32", device="cpu"))
    with pytest.raises(UserError, match="T-net transforms the output of adapters"):
        TNet(full, PromptFormat(), TNet.Config(test_steps=None, inner_lr=0.3))


def set_masks(method: TNet, logit: float) -> TNet:
    with torch.no_grad():
        for logits in method.mask_logits:
            logits.fill_(logit)
    return method


def test_masked_units_never_move_and_the_others_move_as_in_the_t_net():
    backbone = double_backbone()
    method, plain = tnet(backbone, mask=True, inner_steps=1), tnet(backbone, inner_steps=1)
    masks = method.masks(SUPPORT)
    units = torch.cat(masks).flatten()
    assert set(units.tolist()) == {0.0, 1.0}
    start, masked, free = method.start(), method.inner(TASK, SUPPORT), plain.inner(TASK, SUPPORT)
    for (name, p), mask in zip(start.items(), masks, strict=True):
        still = mask[:, 0] == 0
        assert torch.equal(masked[name][still], p[still])
        assert torch.allclose(masked[name][~still], free[name][~still], rtol=1e-12, atol=1e-15)
    several = tnet(backbone, mask=True, inner_steps=4)
    later = several.inner(TASK, SUPPORT)
    assert all(torch.equal(later[n][m[:, 0] == 0], start[n][m[:, 0] == 0]) for n, m in zip(start, masks, strict=True))


def test_all_units_moving_is_the_t_net_and_none_leaves_the_answers_as_they_were():
    backbone = double_backbone()
    everything, nothing = (set_masks(tnet(backbone, mask=True), logit) for logit in (60.0, -60.0))
    plain = tnet(backbone)
    adapted = [flat(m.inner(TASK, SUPPORT).values()) for m in (everything, plain, nothing)]
    assert torch.allclose(adapted[0], adapted[1], rtol=1e-12, atol=1e-15)
    assert torch.equal(adapted[2], flat(plain.start().values()))
    queries = [q.hidden() for q in EPISODE.queries]
    still = tnet(backbone, inner_steps=0).adapt(TASK, SUPPORT).scores(queries)
    found = nothing.adapt(TASK, SUPPORT).scores(queries)
    assert all((a == b).all() for a, b in zip(still, found, strict=True))


def test_masks_are_a_function_of_the_support_set_whatever_its_order():
    method = tnet(mask=True)
    masks = flat(method.masks(SUPPORT))
    assert torch.equal(masks, flat(method.masks(SUPPORT[::-1])))
    assert torch.equal(masks, flat(tnet(mask=True).masks(SUPPORT)))
    assert not torch.equal(masks, flat(method.masks(SUPPORT[:1])))


def test_units_move_as_often_as_their_probability_says():
    method = tnet(mask=True, moving=0.8)
    drawn = torch.stack([flat(method.masks([e])) for e in TASK.examples("train")])
    assert abs(float(drawn.mean()) - 0.8) < 4 * math.sqrt(0.8 * 0.2 / drawn.numel())


def test_the_mt_net_gradient_equals_central_differences_in_weights_and_transforms_under_a_mask():
    method = tnet(bend=0.2, mask=True)
    assert set(flat(method.masks(SUPPORT)).tolist()) == {0.0, 1.0}
    for group in (list(method.start().values()), list(method.transforms)):
        assert gradient_error(lambda: method([EPISODE])[0], group) < 1e-5


def thresholds(method: TNet) -> list[torch.Tensor]:
    """The logit from which on each unit moves, by bisection."""
    own = [logits.detach().clone() for logits in method.mask_logits]
    low, high = ([torch.full_like(logits, edge) for logits in own] for edge in (-20.0, 20.0))
    with torch.no_grad():
        for _ in range(50):
            middle = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
            for logits, value in zip(method.mask_logits, middle, strict=True):
                logits.copy_(value)
            moves = [m > 0.5 for m in method.masks(SUPPORT)]
            low = [torch.where(on, a, m) for on, a, m in zip(moves, low, middle, strict=True)]
            high = [torch.where(on, m, b) for on, m, b in zip(moves, middle, high, strict=True)]
        for logits, value in zip(method.mask_logits, own, strict=True):
            logits.copy_(value)
    return high


@pytest.mark.parametrize("order", [1, 2])
def test_the_probabilities_of_moving_are_learned_through_the_slope_of_the_soft_mask(order, monkeypatch):
    method = tnet(bend=0.2, mask=True, order=order, moving=0.6, temperature=0.7)
    found = gradients(method)
    edges = thresholds(method)
    masks = [m.detach().requires_grad_() for m in method.masks(SUPPORT)]
    monkeypatch.setattr(method, "masks", lambda support: masks)
    slopes = torch.autograd.grad(method([EPISODE])[0], masks)
    for i, (slope, logits, edge) in enumerate(zip(slopes, method.mask_logits, edges, strict=True)):
        soft = torch.sigmoid((logits.detach() - edge) / 0.7)
        expected = slope * soft * (1 - soft) / 0.7
        assert torch.allclose(found[f"mask_logits.{i}"], expected, rtol=1e-9, atol=1e-14)
        assert expected.abs().max() > 0
    if order == 2:
        assert gradient_error(lambda: method([EPISODE])[0], masks) < 1e-5
