"""Bayesian MAML: Stein's direction in closed form, special cases, and meta-gradients by finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from backbones import double_backbone
from bayesian import gradients, platipus, points
from gradients import EPISODE, gradient_error
from scipy.special import softmax

from metaicl.methods.bayesian.bmaml import BayesianMAML, kernel_width, stein_direction
from metaicl.methods.gradient.maml import MAML
from metaicl.methods.in_context.icl import InContext
from task_suites.core.errors import UserError
from task_suites.episodes import Episode
from task_suites.formats.prompt_format import PromptFormat

QUERIES = [q.hidden() for q in EPISODE.queries]


def bmaml(**options) -> BayesianMAML:
    options = {"inner_steps": 2, "inner_lr": 0.3, "particles": 3, "spread": 0.2, **options}
    return BayesianMAML(
        double_backbone(), PromptFormat(), BayesianMAML.Config(**{"test_steps": None, "inner_lr": 0.3, **options})
    ).double()


def test_one_particle_takes_plain_gradient_ascent():
    theta, ascent = points(1)
    assert torch.equal(stein_direction(theta, ascent, kernel_width(theta)), ascent)


def test_the_repulsion_is_the_gradient_of_the_kernel_by_finite_differences():
    theta, step, width = points(4)[0], 1e-6, torch.tensor(3.0, dtype=torch.float64)
    found = 4 * stein_direction(theta, torch.zeros_like(theta), width)
    for m in range(4):
        for i in range(theta.shape[1]):
            total = 0.0
            for j in range(4):
                shift = torch.zeros_like(theta[j])
                shift[i] = step
                more, less = ((theta[j] + s * shift - theta[m]).square().sum() / width for s in (1, -1))
                total += float(torch.exp(-more) - torch.exp(-less)) / (2 * step)
            assert float(found[m, i]) == pytest.approx(total, rel=1e-6, abs=1e-8)


def test_two_particles_repel_each_other_along_their_difference():
    theta = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
    h = kernel_width(theta)
    assert float(h) == pytest.approx(4.0 / math.log(2))  # k = 1/2, the push (2/h) * 2 * k / 2
    push = stein_direction(theta, torch.zeros_like(theta), h).flatten()
    assert torch.allclose(push, torch.tensor([-1.0, 1.0]).double() / h, rtol=1e-12, atol=0)


def test_as_the_kernel_widens_every_particle_gets_the_mean_gradient():
    theta, ascent = points(5)
    found = stein_direction(theta, ascent, torch.tensor(1e14, dtype=torch.float64))
    assert torch.allclose(found, ascent.mean(0).expand(5, -1), rtol=0, atol=1e-12)


def test_as_the_kernel_narrows_every_particle_follows_its_own_gradient():
    theta, ascent = points(5)
    assert torch.allclose(stein_direction(theta, ascent, torch.tensor(1e-9).double()), ascent / 5, rtol=1e-12, atol=0)


def test_the_kernels_width_is_the_median_squared_distance_over_log_m_and_never_zero():
    theta = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]], dtype=torch.float64)  # squared: 25, 1, 18
    assert float(kernel_width(theta)) == pytest.approx(18.0 / math.log(3))
    assert float(kernel_width(theta[:1])) == float(kernel_width(theta[:1].expand(4, -1))) == 1.0


def test_identical_particles_take_the_same_step_and_stay_identical():
    theta, ascent = points(4)
    theta = theta[:1].expand(4, -1).clone().requires_grad_()
    found = stein_direction(theta, ascent, kernel_width(theta))
    assert torch.allclose(found, ascent.mean(0).expand(4, -1), rtol=1e-12, atol=1e-15)
    assert torch.isfinite(torch.autograd.grad(found.sum(), theta)[0]).all()
    method = bmaml(spread=0.0, particles=2)
    after = method.inner(EPISODE.task, EPISODE.support)
    one, two = (method.particle(after, m) for m in (0, 1))
    assert all(torch.equal(one[n], two[n]) for n in one)
    assert any(not torch.equal(one[n], p) for n, p in method.particle(method.start(), 0).items())


def test_svgd_particles_spread_over_a_gaussian_as_its_samples_do():
    generator = torch.Generator().manual_seed(0)
    theta = 0.1 * torch.randn(60, 1, generator=generator, dtype=torch.float64)
    for _ in range(800):
        theta = theta + 0.3 * stein_direction(theta, -(theta - 1.0) / 4.0, kernel_width(theta))  # N(1, 2^2)
    assert float(theta.mean()) == pytest.approx(1.0, abs=0.1) and float(theta.std()) == pytest.approx(2.0, abs=0.3)


def test_the_particles_of_a_language_model_move_as_stein_says():
    method = bmaml(inner_steps=1, clip=0.0, spread=0.3)
    before, e = method.start(), EPISODE
    after = method.inner(e.task, e.support)
    plain = InContext(method.backbone, PromptFormat(), InContext.Config(demonstrations=False))
    theta, ascent, moved = [], [], []
    for m in range(3):
        params = method.particle(before, m)
        loss, tokens = plain.loss([(e.task, (), e.support)], params)
        ascent.append(torch.cat([-g.flatten() for g in torch.autograd.grad(loss / tokens, list(params.values()))]))
        theta.append(torch.cat([p.detach().flatten() for p in params.values()]))
        moved.append(torch.cat([p.detach().flatten() for p in method.particle(after, m).values()]))
    theta, ascent = torch.stack(theta), torch.stack(ascent)
    expected = theta + 0.3 * stein_direction(theta, ascent, kernel_width(theta))
    assert torch.allclose(torch.stack(moved), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("order", [1, 2])
def test_one_particle_with_the_queries_loss_is_maml(order):
    method = bmaml(particles=1, outer_loss="queries", order=order)
    maml = MAML(method.backbone, PromptFormat(), MAML.Config(inner_steps=2, inner_lr=0.3, order=order, test_steps=None))
    (loss, weight), (expected, tokens) = method([EPISODE]), maml([EPISODE])
    assert float(loss) == pytest.approx(float(expected), rel=1e-12) and float(weight) == float(tokens)
    assert torch.allclose(gradients(loss, method), gradients(expected, maml), rtol=1e-9, atol=1e-12)
    scores = [m.adapt(EPISODE.task, EPISODE.support).scores(QUERIES) for m in (method, maml)]
    assert np.allclose(*[softmax(s, axis=1) for s in scores], rtol=0, atol=1e-9)


@pytest.mark.parametrize("options", [{}, {"outer_loss": "queries"}, {"in_context": True}])
def test_the_bayesian_maml_gradient_equals_central_differences_with_the_leader_held_fixed(options, monkeypatch):
    method = bmaml(inner_steps=2, particles=3, **options)
    leader = {n: p.detach().clone() + 0.1 for n, p in method.start().items()}
    monkeypatch.setattr(method, "leader", lambda episode, chaser: leader)
    assert gradient_error(lambda: method([EPISODE])[0], list(method.learned().values()), count=2) < 1e-5


def test_no_gradient_goes_into_the_leader():
    method = bmaml(inner_steps=1)
    with method.learning(2):
        chaser = [method.start(), *method.steps(EPISODE.task, EPISODE.support, method.start(), 2)][-1]
        leader = method.leader(EPISODE, chaser)
    assert all(chaser[n].requires_grad and not p.requires_grad for n, p in leader.items())
    assert any(not torch.equal(chaser[n], p) for n, p in leader.items())
    found = gradients(method([EPISODE])[0], method)
    theta = list(method.backbone.trainable().values())
    pull = sum(((p - leader[n]).detach() * p).sum() for n, p in chaser.items())
    expected = torch.cat([2 * g.flatten() for g in torch.autograd.grad(pull, theta)])
    assert torch.allclose(found, expected, rtol=1e-9, atol=1e-15) and found.any()


def test_the_chasers_loss_is_zero_without_further_steps_and_with_neither_steps_nor_queries():
    assert float(bmaml(leader_steps=0)([EPISODE])[0]) == 0.0
    nothing = Episode(EPISODE.key, EPISODE.task, (), ())
    assert float(bmaml()([nothing])[0]) == 0.0
    assert float(bmaml()([EPISODE])[0]) > 0.0


def test_the_leader_goes_on_from_the_chaser_on_support_and_queries_together():
    method = bmaml(leader_steps=2, inner_steps=1)
    chaser = method.inner(EPISODE.task, EPISODE.support)
    with method.learning(2):
        leader = method.leader(EPISODE, chaser)
    both = (*EPISODE.support, *EPISODE.queries)
    with method.learning(1):
        expected = [*method.steps(EPISODE.task, both, chaser, count=2)][-1]
    assert all(torch.allclose(leader[n], p, rtol=0, atol=1e-9) for n, p in expected.items())


def test_following_the_chaser_brings_the_particles_nearer_to_their_leaders_loss():
    method = bmaml(inner_steps=1, particles=2, leader_steps=3)
    optimizer = torch.optim.Adam(method.learned().values(), lr=2e-2)
    task, queries = EPISODE.task, EPISODE.queries

    def query_loss() -> float:
        after = method.inner(task, EPISODE.support)
        return float(method.support_loss(task, queries, after))

    before = query_loss()
    for _ in range(25):
        loss, _ = method([EPISODE])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert query_loss() < before - 0.05


def test_impossible_settings_of_both_methods_are_refused():
    with pytest.raises(UserError, match=r"PLATIPUS.members must be at least 1, but is 0"):
        platipus(members=0)
    with pytest.raises(UserError, match=r"BayesianMAML.particles must be at least 1, but is 0"):
        bmaml(particles=0)
