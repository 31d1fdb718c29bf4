"""The LSTM meta-learner: gates, preprocessing, memory, and its gradient by a plain loop."""

from __future__ import annotations

import math

import pytest
import torch
from backbones import double_backbone
from gradients import EPISODE, flat, gradient_error, gradients
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from metaicl.methods.gradient.lstm_meta import CellOptimizer, LSTMMeta, preprocessed
from metaicl.methods.gradient.maml import MAML
from task_suites.core.errors import UserError
from task_suites.formats.prompt_format import PromptFormat

TASK, SUPPORT = EPISODE.task, EPISODE.support


def lstm(backbone=None, **options) -> LSTMMeta:
    method = LSTMMeta(
        backbone or double_backbone(),
        PromptFormat(),
        LSTMMeta.Config(**{"test_steps": None, "inner_lr": 0.01, "hidden": 3, "inner_steps": 2, **options}),
    )
    method.optimizer.double()
    return method


def test_open_gates_at_a_rate_are_gradient_descent_exactly():
    backbone = double_backbone()
    method, plain = (
        lstm(backbone),
        MAML(backbone, PromptFormat(), MAML.Config(inner_steps=2, inner_lr=0.25, test_steps=None)),
    )
    with torch.no_grad():
        for gate, bias in ((method.optimizer.forget_gate, 60.0), (method.optimizer.input_gate, -math.log(3.0))):
            gate.weight.zero_()
            gate.bias.fill_(bias)
    found, expected = (flat(m.inner(TASK, SUPPORT).values()) for m in (method, plain))
    assert torch.allclose(found, expected, rtol=1e-13, atol=1e-15)


@given(st.floats(-1e6, 1e6))
def test_preprocessed_values_follow_the_paper(value):
    size, sign = preprocessed(torch.tensor(value, dtype=torch.float64)).tolist()
    if abs(value) >= math.exp(-10):
        assert size == pytest.approx(math.log(abs(value)) / 10) and sign == math.copysign(1, value)
    else:
        assert size == -1 and sign == pytest.approx(math.exp(10) * value)
    assert abs(sign) <= 1 + 1e-9


def test_preprocessing_is_continuous_where_its_two_forms_meet():
    edge = math.exp(-10)
    below, above = preprocessed(torch.tensor([edge * (1 - 1e-9), edge * (1 + 1e-9)], dtype=torch.float64))
    assert torch.allclose(below, above, atol=1e-8)


def test_gates_start_near_forgetting_a_hundredth_and_taking_one():
    cell = CellOptimizer()
    weights, grads = torch.randn(200), torch.zeros(200)
    step = cell.begin()
    kept = step(weights, grads, torch.tensor(2.0)) / weights
    taken = -cell.begin()(torch.zeros(200), torch.full((200,), 0.5), torch.tensor(2.0)) / 0.5
    assert ((kept - 0.99).abs() < 2e-3).all() and ((taken - 0.01).abs() < 2e-3).all()


def test_coordinates_are_treated_alike_whatever_their_order():
    cell = CellOptimizer(hidden=3).double()
    with torch.no_grad():
        for name, p in cell.named_parameters():
            if "weight" in name:
                p.mul_(50)
    generator = torch.Generator().manual_seed(0)
    weights, first, second = torch.randn(3, 7, generator=generator, dtype=torch.float64)
    order = torch.randperm(7, generator=generator)

    def two_steps(chosen: torch.Tensor) -> torch.Tensor:
        step, loss = cell.begin(), torch.tensor(1.5, dtype=torch.float64)
        return step(step(weights[chosen], first[chosen], loss), second[chosen], loss / 2)

    whole = two_steps(torch.arange(7))
    assert torch.allclose(two_steps(order), whole[order], rtol=1e-12, atol=0)
    assert not torch.allclose(whole, weights)


def test_each_inner_loop_begins_with_an_empty_memory():
    method = lstm()
    first = flat(method.inner(TASK, SUPPORT).values())
    assert torch.equal(first, flat(method.inner(TASK, SUPPORT).values()))


def test_the_lstm_gradient_is_that_of_a_loop_whose_gradients_and_losses_are_constants():
    """Central differences with the learner's gradients and losses replayed from one run: no graph goes through them."""
    method = lstm()
    with torch.no_grad():
        for name, p in method.optimizer.named_parameters():
            if "bias" not in name:
                p.mul_(20)
    seen: list[tuple[list[torch.Tensor], torch.Tensor]] = []
    rule = method.rule

    def recording(support):
        step = rule(support)

        def keep(params, grads, number, loss):
            seen.append(([g.clone() for g in grads], loss.clone()))
            return step(params, grads, number, loss)

        return keep

    method.rule = recording
    found = gradients(method)
    steps, method.rule = list(seen), rule

    def replayed() -> torch.Tensor:
        params, step = method.start(), method.rule(SUPPORT)
        for number, (grads, loss) in enumerate(steps):
            params = step(params, grads, number, loss)
        return method.query_loss(EPISODE, params)[0]

    learned = method.learned()
    again = dict(zip(learned, torch.autograd.grad(replayed(), list(learned.values())), strict=True))
    assert all(torch.allclose(found[n], g, rtol=1e-9, atol=1e-12) for n, g in again.items())
    assert all(found[n].abs().max() > 0 for n in learned if not n.endswith("bias_hh"))
    for group in (list(method.start().values()), list(method.optimizer.parameters())):
        assert gradient_error(replayed, group) < 1e-5


def test_the_lstm_meta_learner_trains_with_fused_attention_and_refuses_second_order():
    method = LSTMMeta(
        double_backbone(attn_implementation="tree"),
        PromptFormat(),
        LSTMMeta.Config(inner_steps=2, test_steps=None, inner_lr=0.01),
    )
    method.double()([EPISODE])[0].backward()
    assert all(p.grad is not None for p in method.learned().values())
    for options, message in (
        ({"order": 2}, "LSTMMeta.order must be 1, but is 2"),
        ({"learn_rates": True}, "LSTMMeta.learn_rates must be false, but is True"),
        ({"inner_lr": 1.0}, "LSTMMeta.inner_lr must be above 0 and below 1, but is 1.0"),
    ):
        with pytest.raises(UserError, match=message):
            LSTMMeta.Config(**options)


def test_the_optimisers_first_weights_are_the_same_each_time_and_draw_from_no_global_generator():
    torch.manual_seed(1)
    first = nn.utils.parameters_to_vector(CellOptimizer().parameters())
    torch.manual_seed(2)
    assert torch.equal(first, nn.utils.parameters_to_vector(CellOptimizer().parameters()))
