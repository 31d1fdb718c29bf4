"""Ridge and logistic regression in closed form: where the gradient vanishes, both forms, and their derivatives."""

from __future__ import annotations

import pytest
import torch
from embedded import items, make
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from examples import examples
from metaicl.methods.metric.ridge import logistic_weights, ridge_weights


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.floats(0.01, 10.0))
@examples(40)
def test_ridge_weights_are_where_the_gradient_vanishes_in_either_form(n, d, classes, ridge):
    generator = torch.Generator().manual_seed(100 * n + d)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    y = torch.randn(n, classes, generator=generator, dtype=torch.float64)
    w = ridge_weights(x, y, torch.tensor(ridge, dtype=torch.float64))
    assert w.shape == (d, classes)
    assert (x.T @ (x @ w - y) + ridge * w).abs().max() < 1e-8
    primal = torch.linalg.solve(x.T @ x + ridge * torch.eye(d, dtype=x.dtype), x.T @ y)
    assert torch.allclose(w, primal, rtol=0, atol=1e-8)


def test_ridge_goes_to_zero_as_lambda_grows_and_interpolates_as_it_vanishes():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(4, 6, generator=generator).double(), torch.randn(4, 2, generator=generator).double()
    assert ridge_weights(x, y, torch.tensor(1e12)).abs().max() < 1e-10
    assert torch.allclose(x @ ridge_weights(x, y, torch.tensor(1e-12)), y, rtol=0, atol=1e-8)


@pytest.mark.parametrize("shape", [(3, 5), (6, 4)])
def test_both_solutions_are_differentiable_in_vectors_and_lambda(shape):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)
    y = nn.functional.one_hot(torch.arange(shape[0]) % 2, 2).double()
    ridge = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: ridge_weights(a, y, b), (x, ridge))
    assert torch.autograd.gradcheck(lambda a, b: logistic_weights(a, y, b, 4), (x, ridge))


@pytest.mark.parametrize("shape", [(8, 12), (12, 5)])
def test_the_fixed_point_of_irls_is_the_logistic_optimum(shape):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(*shape, generator=generator, dtype=torch.float64)
    y = nn.functional.one_hot(torch.arange(shape[0]) % 3, 3).double()
    w = logistic_weights(x, y, torch.tensor(0.5, dtype=torch.float64), 25)
    gradient = x.T @ ((x @ w).sigmoid() - y) + 0.5 * w
    assert gradient.abs().max() < 1e-8


def test_the_two_forms_of_an_irls_step_agree():
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    y = nn.functional.one_hot(torch.arange(6) % 2, 2).double()
    ridge = torch.tensor(0.3, dtype=torch.float64)
    wide = torch.cat([x, torch.zeros(6, 1)], 1)  # a column of zeros: 6 <= 7, the dual
    tall = torch.cat([x, torch.zeros(1, 6)])  # a row of zeros at y = 1/2 adds nothing: 7 > 6, the primal
    half = torch.cat([y, torch.full((1, 2), 0.5)])
    dual, primal = logistic_weights(wide, y, ridge, 3), logistic_weights(tall, half, ridge, 3)
    assert torch.allclose(dual[:6], primal, rtol=0, atol=1e-9) and dual[6].abs().max() < 1e-9


def test_classes_far_apart_leave_newtons_method_finite(frozen, width):
    method = make("lrd2", frozen, ridge=1e-6, newton=30)
    shots, labels, queries = items(width=width)
    assert torch.isfinite(method.logits(100 * shots, labels, 100 * queries, 3)).all()
