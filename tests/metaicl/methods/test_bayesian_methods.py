"""PLATIPUS and Bayesian MAML: closed forms, special cases, and meta-gradients by finite differences in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from backbones import double_backbone
from gradients import EPISODE, gradient_error
from scipy.special import softmax

from metaicl.methods.base import seeded
from metaicl.methods.bayesian.bmaml import BayesianMAML, kernel_width, stein_direction
from metaicl.methods.bayesian.platipus import PLATIPUS, drawn, gaussian_kl
from metaicl.methods.gradient.maml import MAML
from metaicl.methods.in_context.icl import InContext
from task_suites.core.errors import UserError
from task_suites.episodes import Episode
from task_suites.formats.prompt_format import PromptFormat

QUERIES = [q.hidden() for q in EPISODE.queries]


def platipus(**options) -> PLATIPUS:
    return PLATIPUS(
        double_backbone(),
        PromptFormat(),
        PLATIPUS.Config(**{"test_steps": None, "inner_steps": 2, "inner_lr": 0.3, **options}),
    ).double()


def bmaml(**options) -> BayesianMAML:
    options = {"inner_steps": 2, "inner_lr": 0.3, "particles": 3, "spread": 0.2, **options}
    return BayesianMAML(
        double_backbone(), PromptFormat(), BayesianMAML.Config(**{"test_steps": None, "inner_lr": 0.3, **options})
    ).double()


def deviations(method: PLATIPUS, sigma: float, v: float) -> PLATIPUS:
    with torch.no_grad():
        for p, value in ((p, value) for ps, value in ((method.log_sigma, sigma), (method.log_v, v)) for p in ps):
            p.fill_(math.log(value))
    return method


def gradients(loss: torch.Tensor, method: torch.nn.Module) -> torch.Tensor:
    found = torch.autograd.grad(loss, list(method.backbone.trainable().values()))
    return torch.cat([g.flatten() for g in found])


def points(count: int, width: int = 6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Particles and gradients `[count, width]`."""
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(2, count, width, generator=generator, dtype=torch.float64)
    return first, second


# -- PLATIPUS ----------------------------------------------------------------------------------------------------


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


# -- Bayesian MAML -----------------------------------------------------------------------------------------------


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
