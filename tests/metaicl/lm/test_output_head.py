"""The blockwise output embedding is log-softmax, its first two derivatives included; a tap takes states and goes."""

from __future__ import annotations

import pytest
import torch
from backbones import make_learnable, tiny_config
from torch import Tensor, nn

from metaicl.lm import output_head
from metaicl.lm.attention.kernel import serves_bf16
from metaicl.lm.backbone import Backbone
from metaicl.lm.output_head import Tap, log_softmax_at, logits

VOCABULARY = 2 * output_head.BLOCK + 37
BIAS = pytest.mark.parametrize("biased", [False, True], ids=["plain", "bias"])


def problem(vocabulary: int = VOCABULARY, rows: int = 5, width: int = 6, biased: bool = True):
    """(states, weight, bias), (rows, targets); targets at the edges of blocks and rows requested more than once."""
    generator = torch.Generator().manual_seed(0)
    states, weight, bias = (
        torch.randn(*s, generator=generator) for s in ((rows, width), (vocabulary, width), (vocabulary,))
    )
    which = torch.tensor([0, 3, 3, rows - 1, 1, 0])
    block = min(output_head.BLOCK, vocabulary - 1)
    targets = torch.tensor([0, block - 1, block, vocabulary - 1, vocabulary - 1, 7 % vocabulary])
    return [3 * states, weight, 5 * bias if biased else None], (which, targets)


def whole(inputs: list[Tensor | None], where: tuple[Tensor, Tensor]) -> Tensor:
    states, weight, bias = inputs
    all_logits = states @ weight.T + (0 if bias is None else bias)
    return torch.log_softmax(all_logits, -1)[where]


def learnt(inputs: list[Tensor | None], dtype: torch.dtype) -> list[Tensor | None]:
    return [None if t is None else t.detach().to(dtype).requires_grad_() for t in inputs]


@BIAS
@pytest.mark.parametrize("vocabulary", [11, output_head.BLOCK, output_head.BLOCK + 1, VOCABULARY])
def test_values_and_gradients_are_those_of_log_softmax(vocabulary, biased):
    inputs, where = problem(vocabulary, biased=biased)
    ours, exact = learnt(inputs, torch.float32), learnt(inputs, torch.float64)
    found, expected = log_softmax_at(*ours, *where), whole(exact, where)
    assert found.dtype == torch.float32 and torch.allclose(found.double(), expected, atol=2e-5)
    weight = torch.arange(1.0, 7)
    grads = torch.autograd.grad((found * weight).sum(), [t for t in ours if t is not None])
    wanted = torch.autograd.grad((expected * weight).sum(), [t for t in exact if t is not None])
    for a, b in zip(grads, wanted, strict=True):
        assert torch.allclose(a.double(), b, atol=2e-5 * float(b.abs().max()))


@BIAS
def test_in_float64_values_and_both_derivatives_are_exact(monkeypatch, biased):
    monkeypatch.setattr(output_head, "BLOCK", 4)
    inputs, where = problem(11, biased=biased)
    exact = learnt(inputs, torch.float64)
    found = log_softmax_at(*exact, *where)
    assert found.dtype == torch.float64 and (found - whole(exact, where)).abs().max() < 1e-12
    given = [t for t in exact if t is not None]

    def ours(*tensors: Tensor) -> Tensor:
        return log_softmax_at(*tensors, *(() if biased else (None,)), *where)

    assert torch.autograd.gradcheck(ours, given)
    assert torch.autograd.gradgradcheck(ours, given)


@pytest.mark.skipif(not serves_bf16(), reason="the fused kernel is not taken here")
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("rows", [1, 4, output_head.FEW])
def test_a_bf16_log_sum_exp_is_that_of_the_widened_states(rows, threads):
    inputs, _ = problem(rows=max(rows, 4), width=24, biased=False)
    states, weight = inputs[0][:rows].bfloat16(), inputs[1].bfloat16()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert output_head._is_fused(states)
        found = output_head.LogSumExp.apply(states.float(), weight, None, True)
    finally:
        torch.set_num_threads(before)
    assert found.dtype == torch.float32
    expected = torch.logsumexp(states.double() @ weight.double().T, -1)
    torch.testing.assert_close(found.double(), expected, rtol=4e-6, atol=0)


def test_few_and_many_bf16_rows_have_the_same_values_and_gradients():
    inputs, where = problem(width=24, biased=False)
    narrow = learnt(inputs, torch.bfloat16)
    many = [narrow[0].detach().repeat(output_head.FEW, 1).requires_grad_(), narrow[1].detach().requires_grad_()]
    found = [log_softmax_at(*given, None, *where) for given in (narrow[:2], many)]
    torch.testing.assert_close(*found, rtol=4e-6, atol=0)
    for values in found:
        values.sum().backward()
    torch.testing.assert_close(narrow[0].grad, many[0].grad[: len(narrow[0])])


@pytest.mark.parametrize("frozen", ["states", "weight"])
def test_what_is_frozen_gets_no_gradient_and_the_others_keep_theirs(frozen):
    inputs, where = problem(11, biased=False)
    ours, exact = learnt(inputs, torch.float32), learnt(inputs, torch.float64)
    place = ["states", "weight"].index(frozen)
    for tensors in (ours, exact):
        tensors[place].requires_grad_(False)
        (log_softmax_at if tensors is ours else lambda *a: whole([*a[:3]], a[3:]))(*tensors, *where).sum().backward()
    assert ours[place].grad is None
    assert torch.allclose(ours[1 - place].grad.double(), exact[1 - place].grad, atol=1e-4)


def test_a_bias_learns_above_a_frozen_weight():
    inputs, where = problem(11)
    ours, exact = learnt(inputs, torch.float32), learnt(inputs, torch.float64)
    ours[1].requires_grad_(False)
    log_softmax_at(*ours, *where).sum().backward()
    whole(exact, where).sum().backward()
    assert torch.allclose(ours[2].grad.double(), exact[2].grad, atol=1e-4)


def test_bf16_weights_are_multiplied_in_float32():
    inputs, where = problem(biased=True)
    narrow = [t.bfloat16() for t in inputs]
    with torch.autocast("cpu", torch.bfloat16):
        found = log_softmax_at(*narrow, *where)
    assert torch.allclose(found.double(), whole([t.double() for t in narrow], where), atol=2e-5)


@BIAS
def test_logits_are_those_of_the_linear_layer(biased):
    (states, weight, bias), _ = problem(biased=biased)
    assert torch.allclose(logits(states, weight, bias), nn.functional.linear(states, weight, bias), atol=1e-5)


def test_a_tap_takes_the_states_and_the_head_multiplies_nothing():
    head = nn.Linear(6, VOCABULARY)
    states = torch.randn(1, 5, 6)
    with Tap(head) as tap:
        assert head(states).shape == (1, 0, VOCABULARY)
    assert tap.states is states and tap.weight is head.weight and tap.bias is head.bias
    assert head(states).shape == (1, 5, VOCABULARY)


def test_a_tap_sees_the_weights_that_stand_in_for_the_models_own():
    head = nn.Linear(6, 9)
    other = torch.zeros(9, 6)
    with Tap(head) as tap:
        torch.func.functional_call(head, {"weight": other}, (torch.ones(2, 6),))
    assert tap.weight is other


def test_a_tap_is_gone_after_an_error_in_the_forward_pass(monkeypatch):
    backbone = Backbone.load(tiny_config(weights="frozen"))
    head = backbone.model.get_output_embeddings()

    def broken(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(backbone.model.model.norm, "forward", broken)
        backbone.plain_logits([5, 6, 7])
    assert not head._forward_pre_hooks
    with torch.no_grad():
        assert backbone.model(torch.tensor([[5, 6, 7]])).logits.shape == (1, 3, 257)


def test_scores_and_gradients_through_the_tap_are_the_models_own(monkeypatch):
    """Llama ties its embeddings: the weight that is tapped is learned at both ends."""
    ids = torch.tensor([[5, 11, 23, 7, 31]])
    backbone = make_learnable()
    model, weights = backbone.model, list(backbone.trainable().values())
    own = model(ids).logits[0].log_softmax(-1)[range(4), ids[0, 1:]]
    monkeypatch.setattr(output_head, "BLOCK", 100)
    states = model.get_base_model().model(ids)[0][0]
    head = model.get_output_embeddings()
    tapped = log_softmax_at(states, head.weight, head.bias, torch.arange(4), ids[0, 1:])
    assert torch.allclose(own, tapped, atol=1e-5)
    for a, b in zip(*(torch.autograd.grad(lp.sum(), weights) for lp in (own, tapped)), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda logits: logits.float(), True),
        (lambda logits: 30 * torch.tanh(logits / 30), False),
        (lambda logits: 0.9 * logits, False),
        (lambda logits: torch.zeros_like(logits), False),
    ],
    ids=["handed on", "capped", "scaled", "from elsewhere"],
)
def test_logits_that_are_not_the_output_embeddings_own_are_told_apart_however_small(change, same):
    head, states = nn.Linear(6, 9), 1e-6 * torch.randn(1, 5, 6)
    assert output_head.hands_on(head, lambda: change(head(states))[0]) is same
    assert not output_head.hands_on(head, lambda: change(states)[0])
    assert not head._forward_hooks


@pytest.mark.parametrize("rows", [1, 5])
def test_a_narrow_embedding_gives_the_numbers_of_its_wide_copy_with_and_without_gradients(rows):
    (states, weight, bias), (_, targets) = problem(rows=rows)
    narrow, which = weight.bfloat16(), torch.arange(len(targets)) % rows
    expected = log_softmax_at(states, narrow.float(), bias, which, targets)
    with torch.no_grad():
        assert torch.equal(log_softmax_at(states, narrow, bias, which, targets), expected)
        piecewise = logits(states, narrow, bias)
    assert torch.equal(piecewise, logits(states, narrow.requires_grad_(), bias).detach())
