"""Amortised Bayesian meta-learning of LoRA weights: closed forms, special cases, and meta-gradients by finite
differences in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from backbones import double_backbone
from gradients import EPISODE, flat, gradient_error
from scipy.special import softmax

from metaicl.methods.base import unordered_keys
from metaicl.methods.bayesian.abmll import ABMLL, split
from metaicl.methods.gradient.maml import MAML
from metaicl.methods.in_context.icl import InContext
from task_suites.core.errors import UserError
from task_suites.episodes import Episode
from task_suites.formats.prompt_format import PromptFormat

QUERIES = [q.hidden() for q in EPISODE.queries]
NARROW = 1e-200  # a deviation that moves no weight


def abmll(sigma: float | None = None, **options) -> ABMLL:
    options = {"test_steps": None, "inner_steps": 2, "inner_lr": 0.3, "beta": 0.0, "gamma": 0.0, **options}
    method = ABMLL(double_backbone(), PromptFormat(), ABMLL.Config(**options)).double()
    if sigma is not None:
        with torch.no_grad():
            for p in method.log_sigma:
                p.fill_(math.log(sigma))
    return method


def maml(method: ABMLL) -> MAML:
    same = {name: getattr(method.config, name) for name in ("inner_steps", "inner_lr", "order", "in_context")}
    return MAML(method.backbone, PromptFormat(), MAML.Config(test_steps=None, **same))


def slopes(loss: torch.Tensor, method) -> torch.Tensor:
    return flat(torch.autograd.grad(loss, list(method.backbone.trainable().values())))


def moved(method: ABMLL) -> dict[str, torch.Tensor]:
    """Return a Gaussian beside the prior."""
    generator = torch.Generator().manual_seed(0)
    return {
        n: (p + 0.3 * torch.randn(p.shape, generator=generator, dtype=p.dtype)).detach()
        for n, p in method.start().items()
    }


# -- the Gaussians -----------------------------------------------------------------------------------------------


def test_the_divergence_from_the_prior_is_torchs_and_zero_at_the_start():
    method = abmll(sigma=0.4)
    prior, posterior = method.start(), moved(method)
    assert float(method.divergence(prior, prior)) == 0.0
    q, p = (
        [torch.distributions.Normal(m, s.exp()) for m, s in zip(*(x.values() for x in split(g)), strict=True)]
        for g in (posterior, prior)
    )
    expected = sum(float(torch.distributions.kl_divergence(a, b).sum()) for a, b in zip(q, p, strict=True))
    assert float(method.divergence(posterior, prior)) == pytest.approx(expected, rel=1e-12) and expected > 1


def test_the_prior_of_the_global_weights_is_torchs_normal():
    method = abmll(sigma=0.3, spread=0.1)
    means, widths = split(method.start())
    unit = torch.distributions.Normal(torch.tensor(0.0).double(), 1.0)
    logs = [unit.log_prob(p) for p in means.values()] + [unit.log_prob(p - math.log(0.1)) for p in widths.values()]
    constant = 0.5 * math.log(2 * math.pi) * sum(p.numel() for p in logs)
    expected = -sum(float(p.sum()) for p in logs) - constant
    assert float(method.global_prior()) == pytest.approx(expected, rel=1e-9)


def test_a_draw_is_a_function_of_its_names_with_the_gaussians_own_mean_and_deviation():
    method = abmll(sigma=0.5)
    posterior = method.start()
    means, _ = split(posterior)
    same, again, other = (method.draw(posterior, *names) for names in (("a", 1), ("a", 1), ("a", 2)))
    assert same.keys() == means.keys() == method.backbone.trainable().keys()
    assert all(torch.equal(same[n], again[n]) for n in same) and any(not torch.equal(same[n], other[n]) for n in same)
    apart = torch.cat([flat([method.draw(posterior, i)[n] - means[n] for n in means]) for i in range(50)])
    assert float(apart.mean()) == pytest.approx(0, abs=0.01) and float(apart.std()) == pytest.approx(0.5, rel=0.02)


# -- special cases -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("in_context", [False, True])
def test_without_width_or_priors_it_is_maml(order, in_context):
    method = abmll(sigma=NARROW, outer_loss="queries", order=order, in_context=in_context)
    plain = maml(method)
    (loss, weight), (expected, tokens) = method([EPISODE]), plain([EPISODE])
    assert float(loss) == pytest.approx(float(expected), rel=1e-12) and float(weight) == float(tokens)
    assert torch.allclose(slopes(loss, method), slopes(expected, plain), rtol=1e-9, atol=1e-12)
    found = [softmax(m.adapt(EPISODE.task, EPISODE.support).scores(QUERIES), axis=1) for m in (method, plain)]
    assert np.allclose(*found, rtol=0, atol=1e-9)


def test_the_outer_loss_adds_the_support_set_and_the_two_priors():
    method = abmll(sigma=0.2, beta=0.5, gamma=0.3)
    loss, weight = method([EPISODE])
    e, prior = EPISODE, method.start()
    with method.learning(1):
        posterior = [prior, *method.steps(e.task, e.support, prior, 1)][-1]
    phi = method.draw(posterior, e.key, "outer")
    (asked, n), (shown, m) = method.query_loss(e, phi), method.model.support_loss(e.task, e.support, phi)
    priors = 0.5 * method.divergence(posterior, prior) + 0.3 * method.global_prior()
    assert float(loss) == pytest.approx(float(asked + shown + priors), rel=1e-12)
    assert float(weight) == float(n + m) and float(method.divergence(posterior, prior)) > 0


def test_a_step_descends_the_bound_of_the_support_set():
    method = abmll(sigma=0.2, beta=0.7, inner_steps=1, clip=0.0)
    e, start = EPISODE, {n: p.detach().requires_grad_() for n, p in moved(method).items()}
    with method.learning(0):
        (after,) = method.steps(e.task, e.support, start, 0, 1)
    loss, weight = method.model.support_loss(e.task, e.support, method.draw(start, unordered_keys(e.support), 0))
    bound = (loss + 0.7 * method.divergence(start, method.start())) / weight
    grads = torch.autograd.grad(bound, list(start.values()))
    for (n, p), g in zip(start.items(), grads, strict=True):
        assert torch.allclose(after[n], p - 0.3 * g, rtol=1e-9, atol=1e-12)


def test_the_larger_beta_the_nearer_a_posterior_stays_to_its_prior():
    apart = []
    for beta in (0.0, 0.1, 1.0):
        method = abmll(sigma=0.3, beta=beta, inner_steps=8)
        means, _ = split(method.inner(EPISODE.task, EPISODE.support))
        apart.append(float(flat([means[n] - p for n, p in split(method.start())[0].items()]).norm()))
    assert apart[0] > apart[1] > apart[2] > 0


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("options", [{}, {"in_context": True}, {"outer_loss": "queries"}])
def test_the_second_order_gradient_equals_central_differences_with_the_noise_held_fixed(order, options):
    """And the first-order one does where no step is taken."""
    steps = {"inner_steps": 1} if order == 2 else {"inner_lr": 0.0}
    method = abmll(sigma=0.3, beta=0.1, gamma=0.2, order=order, **options, **steps)
    for group in ("backbone.", "log_sigma"):
        chosen = [p for n, p in method.learned().items() if n.startswith(group)]
        assert chosen and gradient_error(lambda: method([EPISODE])[0], chosen, count=2) < 1e-5


def test_the_prior_widens_for_weights_that_the_steps_move():
    """To first order: a step is a constant, so that KL(q || p) falls with the deviations of p."""
    method = abmll(sigma=0.05, beta=1.0, inner_steps=2)
    e, prior = EPISODE, method.start()
    with method.learning(1):
        posterior = [prior, *method.steps(e.task, e.support, prior, 1)][-1]
    fixed = {n: p.detach() for n, p in posterior.items()}
    grads = flat(torch.autograd.grad(method.divergence(fixed, prior), list(method.log_sigma)))
    distance = flat([fixed[f"mean:{n}"] - p for n, p in split(prior)[0].items()]).abs()
    assert int(grads.argmin()) == int(distance.argmax())  # that deviation grows most


# -- answers -----------------------------------------------------------------------------------------------------


def test_the_answer_is_the_mean_of_the_draws_probabilities_and_the_draws_differ():
    predictor = abmll(sigma=0.5, members=3).adapt(EPISODE.task, EPISODE.support)
    each = np.array([softmax(m.scores(QUERIES), axis=1) for m in predictor.members])
    assert np.allclose(np.exp(predictor.scores(QUERIES)), each.mean(0), rtol=0, atol=1e-12)
    assert np.ptp(each, axis=0).max() > 1e-4


def test_answers_do_not_depend_on_the_order_of_the_support_set_but_on_its_content():
    e, method = EPISODE, abmll(sigma=0.5, members=2, beta=0.01)
    here, there, other = (
        np.array(method.adapt(e.task, support).scores(QUERIES))
        for support in (e.support, e.support[::-1], e.support[:-1])
    )
    assert np.allclose(here, there, rtol=0, atol=1e-9) and not np.allclose(here, other, rtol=0, atol=1e-6)


def test_without_demonstrations_or_width_it_is_zero_shot():
    method = abmll(sigma=NARROW, members=2)
    plain = InContext(method.backbone, PromptFormat(), InContext.Config(demonstrations=False)).adapt(EPISODE.task, ())
    found = method.adapt(EPISODE.task, ()).scores(QUERIES)
    assert np.allclose(softmax(plain.scores(QUERIES), axis=1), softmax(found, axis=1), rtol=0, atol=1e-9)
    loss, weight = abmll(beta=1.0)([Episode(EPISODE.key, EPISODE.task, (), EPISODE.queries)])
    assert torch.isfinite(loss) and float(weight) > 0


def test_meta_training_lowers_the_queries_loss_of_draws():
    method = abmll(sigma=0.1, beta=1e-3, gamma=1e-3, inner_steps=1)
    optimizer = torch.optim.Adam(method.learned().values(), lr=2e-2)
    losses = []
    for _ in range(25):
        loss, weight = method([EPISODE])
        losses.append(float((loss / weight).detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0] - 0.05


def test_impossible_settings_are_refused():
    with pytest.raises(UserError, match=r"ABMLL.members must be at least 1, but is 0"):
        abmll(members=0)
    with pytest.raises(UserError, match=r"ABMLL.beta must be at least 0, but is -1"):
        abmll(beta=-1)
