"""PLATIPUS: divergences in closed form, special cases, and meta-gradients by finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from bayesian import gradients, platipus, points
from gradients import EPISODE, gradient_error
from scipy.special import softmax

from metaicl.methods.base import seeded
from metaicl.methods.bayesian.platipus import PLATIPUS, drawn, gaussian_kl
from metaicl.methods.gradient.maml import MAML
from metaicl.methods.in_context.icl import InContext
from task_suites.formats.prompt_format import PromptFormat

QUERIES = [q.hidden() for q in EPISODE.queries]


def deviations(method: PLATIPUS, sigma: float, v: float) -> PLATIPUS:
    with torch.no_grad():
        for p, value in ((p, value) for ps, value in ((method.log_sigma, sigma), (method.log_v, v)) for p in ps):
            p.fill_(math.log(value))
    return method


def test_the_divergence_of_equal_gaussians_is_zero_and_of_equal_widths_is_the_scaled_distance():
    (mean, other), log = points(2), torch.full((6,), math.log(0.3), dtype=torch.float64)
    assert float(gaussian_kl(mean, log, mean, log)) == 0.0
    expected = (mean - other).square().sum() / (2 * 0.3**2)
    assert float(gaussian_kl(mean, log, other, log)) == pytest.approx(float(expected), rel=1e-12)


def test_the_divergence_is_torchs_and_that_of_samples():
    mean_q, mean_p = (x[0] for x in points(1))
    log_q, log_p = (0.4 * x[0] for x in points(1, seed=1))
    q, p = (torch.distributions.Normal(m, s.exp()) for m, s in ((mean_q, log_q), (mean_p, log_p)))
    found = float(gaussian_kl(mean_q, log_q, mean_p, log_p))
    assert found == pytest.approx(float(torch.distributions.kl_divergence(q, p).sum()), rel=1e-12)
    noise = torch.randn(200_000, 6, generator=seeded("monte carlo"), dtype=torch.float64)
    samples = mean_q + log_q.exp() * noise
    each = (q.log_prob(samples) - p.log_prob(samples)).sum(1)
    assert abs(found - float(each.mean())) < 4 * float(each.std()) / math.sqrt(len(each))


def test_draws_have_the_mean_and_deviation_asked_for_and_are_a_function_of_the_names():
    mean, log = {"w": torch.full((50_000,), 2.0)}, [torch.full((50_000,), math.log(0.5))]
    draw = drawn(mean, log, seeded("a", 1))["w"]
    assert float(draw.mean()) == pytest.approx(2.0, abs=0.01) and float(draw.std()) == pytest.approx(0.5, abs=0.01)
    assert torch.equal(draw, drawn(mean, log, seeded("a", 1))["w"])
    assert not torch.equal(draw, drawn(mean, log, seeded("a", 2))["w"])


def test_with_queries_as_support_and_equal_rates_and_widths_the_divergence_is_exactly_zero():
    method = platipus()
    with method.learning(2):
        prior = method.centre(EPISODE.task, EPISODE.support, method.prior_rate, 2)
        same = method.centre(EPISODE.task, EPISODE.support, method.posterior_rate, 2)
        other = method.centre(EPISODE.task, EPISODE.queries, method.posterior_rate, 2)
    assert float(method.divergence(same, prior)) == 0.0
    assert float(method.divergence(other, prior)) > 0.01


@pytest.mark.parametrize("order", [1, 2])
def test_without_width_or_divergence_it_is_maml_from_the_shifted_mean(order):
    method = deviations(platipus(kl_weight=0.0, order=order), 1.0, 1e-200)
    maml = MAML(method.backbone, PromptFormat(), MAML.Config(inner_steps=2, inner_lr=0.3, order=order, test_steps=None))
    loss, weight = method([EPISODE])
    with method.learning(order):
        shifted = method.centre(EPISODE.task, EPISODE.queries, method.posterior_rate, order)
        phi = [shifted, *maml.steps(EPISODE.task, EPISODE.support, shifted, order)][-1]
        expected, tokens = maml.query_loss(EPISODE, phi)
    assert float(loss) == pytest.approx(float(expected), rel=1e-12) and float(weight) == float(tokens)
    learned = [*method.start().values(), method.posterior_rate]
    found, by_hand = (torch.autograd.grad(x, learned) for x in (loss, expected))
    assert all(torch.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in zip(found, by_hand, strict=True))
    assert float(found[-1].abs()) > 1e-4


@pytest.mark.parametrize("order", [1, 2])
def test_without_posterior_step_width_or_divergence_it_is_plain_maml(order):
    method = deviations(platipus(kl_weight=0.0, order=order), 1.0, 1e-200)
    with torch.no_grad():
        method.posterior_rate.zero_()
    maml = MAML(method.backbone, PromptFormat(), MAML.Config(inner_steps=2, inner_lr=0.3, order=order, test_steps=None))
    (loss, _), (expected, _) = method([EPISODE]), maml([EPISODE])
    assert float(loss) == pytest.approx(float(expected), rel=1e-12)
    assert torch.allclose(gradients(loss, method), gradients(expected, maml), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"in_context": True}, {"kl_weight": 0.0}])
def test_the_platipus_gradient_equals_central_differences_with_the_noise_held_fixed(options):
    method = deviations(platipus(inner_steps=1, **options), 0.5, 0.3)
    groups = {"mean": ("backbone.",), "sigma": ("log_sigma",), "v": ("log_v",), "rates": ("prior_", "posterior_")}
    if options.get("kl_weight") == 0.0:  # the prior then plays no part
        grads = torch.autograd.grad(method([EPISODE])[0], [*method.log_sigma, method.prior_rate])
        assert all(not g.any() for g in grads)
        groups = {"mean": ("backbone.",), "v": ("log_v",), "rates": ("posterior_",)}
    for starts in groups.values():
        step = 1e-3 if "posterior_" in starts else 1e-5  # two numbers with small slopes; the noise would drown them
        chosen = [p for n, p in method.learned().items() if n.startswith(starts)]
        assert chosen and gradient_error(lambda: method([EPISODE])[0], chosen, count=2, step=step) < 1e-5


def test_the_prior_moves_by_the_support_and_the_members_differ_by_its_width():
    e = EPISODE
    wide, narrow = (deviations(platipus(members=3), s, 0.1) for s in (0.5, 1e-200))
    several = [np.stack([m.scores(QUERIES)[0] for m in x.adapt(e.task, e.support).members]) for x in (wide, narrow)]
    assert np.ptp(several[0], axis=0).max() > 1e-4 and np.ptp(several[1], axis=0).max() == 0.0
    prior = narrow.centre(e.task, e.support, narrow.prior_rate, 1)
    by_hand = narrow.model.predictor(e.task, (), narrow.inner(e.task, e.support, prior))
    assert np.allclose(by_hand.scores(QUERIES)[0], several[1][0], rtol=0, atol=1e-9)


def test_a_draw_at_test_does_not_depend_on_the_order_of_the_support_set_but_on_its_content():
    e, method = EPISODE, deviations(platipus(members=2), 0.5, 0.1)
    scores = [
        np.array(method.adapt(e.task, support).scores(QUERIES))
        for support in (e.support, e.support[::-1], e.support[:-1])
    ]
    assert np.allclose(scores[0], scores[1], rtol=0, atol=1e-9) and not np.allclose(
        scores[0], scores[2], rtol=0, atol=1e-6
    )


def test_without_demonstrations_steps_or_width_platipus_is_zero_shot():
    method = deviations(platipus(members=2), 1e-200, 0.1)
    plain = InContext(method.backbone, PromptFormat(), InContext.Config(demonstrations=False)).adapt(EPISODE.task, ())
    found = method.adapt(EPISODE.task, ()).scores(QUERIES)
    assert np.allclose([softmax(s) for s in plain.scores(QUERIES)], [softmax(s) for s in found], rtol=0, atol=1e-9)


def test_the_answer_is_the_mean_of_the_members_probabilities():
    predictor = deviations(platipus(members=3), 0.5, 0.1).adapt(EPISODE.task, EPISODE.support)
    each = np.mean([[softmax(s) for s in m.scores(QUERIES)] for m in predictor.members], axis=0)
    assert np.allclose(np.exp(predictor.scores(QUERIES)), each, rtol=0, atol=1e-12)
    assert np.allclose(np.exp(predictor.scores(QUERIES)).sum(1), 1.0, rtol=0, atol=1e-12)
