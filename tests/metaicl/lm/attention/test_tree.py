"""The parts of a tree's attention show each row what the dense mask shows it, once; their sum is softmax attention."""

from __future__ import annotations

from collections.abc import Sequence
from unittest.mock import patch

import pytest
import torch
from backbones import make_learnable
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from trees import CASES, forests, packed_cases, plant

from examples import examples
from metaicl.lm.attention import plan as plan_module
from metaicl.lm.attention import tree as tree_attention
from metaicl.lm.attention.plan import plan
from metaicl.lm.attention.tree import TreeAttention
from metaicl.lm.prompt_tree import Packed, pack
from metaicl.lm.refused import Refused

NAMES = ("FILL", "LARGEST", "CHAIN", "BLOCK")
LITTLE = {"FILL": 3, "LARGEST": 6, "CHAIN": 4, "BLOCK": 5}  # little trees meet all of these
SIZES = [{name: getattr(plan_module, name) for name in NAMES}, LITTLE]
PREFIX = 70


def states(row: Packed, prefix: int, group: int, dtype: torch.dtype = torch.float64, width: int = 8) -> list[Tensor]:
    """Random query, key and value of two key heads with `group` query heads each."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(len(row.ids), 2 * group), (prefix + len(row.ids), 2), (prefix + len(row.ids), 2)]
    return [torch.randn(*s, width, generator=generator, dtype=torch.float64).to(dtype).requires_grad_() for s in shapes]


def dense(query: Tensor, key: Tensor, value: Tensor, row: Packed, prefix: int, scale: float) -> tuple[Tensor, Tensor]:
    """Softmax attention with the whole mask: (output, log-sum-exp)."""
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    scores = torch.einsum("qhw,khw->hqk", query, key) * scale
    scores = scores.masked_fill(row.mask(torch.float32, prefix)[0] != 0, float("-inf"))
    return torch.einsum("hqk,khw->qhw", scores.softmax(-1), value), scores.logsumexp(-1).T


def apart(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """The largest difference of an entry."""
    return max(float((f - w).abs().max()) for f, w in zip(found, wanted, strict=True))


@pytest.mark.parametrize(("prefix", "group"), [(0, 1), (PREFIX, 2), (PREFIX, 3)])
@pytest.mark.parametrize("case", CASES)
def test_output_and_gradients_are_those_of_dense_softmax_attention(case, prefix, group):
    row = packed_cases(prefix)[case]
    inputs = states(row, prefix, group)
    out, lse = TreeAttention.apply(*inputs, plan(row.subtree_end, prefix), 0.3)
    expected, expected_lse = dense(*inputs, row, prefix, 0.3)
    assert (out - expected).abs().max() < 1e-12 and (lse - expected_lse).abs().max() < 1e-12
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=out.dtype)
    found, wanted = (torch.autograd.grad((o * weight).sum(), inputs) for o in (out, expected))
    assert apart(found, wanted) < 1e-10


@examples(30)
@given(forests(), st.sampled_from([0, 3]), st.booleans(), st.sampled_from(SIZES), st.sampled_from([1, 2, 3]))
def test_random_forests_have_the_output_and_gradients_of_dense_attention(forest, prefix, leaves, sizes, group):
    row = pack(forest, start=prefix, leaves=leaves)
    inputs = states(row, prefix, group, width=4)
    with patch.multiple(plan_module, **sizes):
        out, _ = TreeAttention.apply(*inputs, plan(row.subtree_end, prefix), 0.5)
    expected, _ = dense(*inputs, row, prefix, 0.5)
    found, wanted = (torch.autograd.grad(o.square().sum(), inputs) for o in (out, expected))
    assert (out - expected).abs().max() < 1e-12
    assert apart(found, wanted) < 1e-10


@examples(30)
@given(forests(), st.sampled_from([0, 3]), st.booleans(), st.sampled_from([1, 2, 3]))
def test_few_rows_under_one_mask_have_the_output_of_dense_attention(forest, prefix, leaves, group):
    row = pack(forest, start=prefix, leaves=leaves)
    query, key, value = (t.detach() for t in states(row, prefix, group, width=4))
    tree = plan(row.subtree_end, prefix)
    found = tree_attention._attend_at_once(*(t.transpose(0, 1) for t in (query, key, value)), tree, 0.5)
    expected, _ = dense(query, key, value, row, prefix, 0.5)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("few", [0, 10**6])
def test_any_number_of_rows_may_count_as_few(few, monkeypatch):
    monkeypatch.setattr(plan_module, "FEW", few)
    row = packed_cases(PREFIX)["little"]
    inputs = [t.detach() for t in states(row, PREFIX, 3)]
    torch.testing.assert_close(interface(inputs, row, PREFIX, 0.3), dense(*inputs, row, PREFIX, 0.3)[0])


@pytest.mark.parametrize("prefix", [0, 2])
def test_gradients_pass_gradcheck(prefix, monkeypatch):
    for name, size in LITTLE.items():
        monkeypatch.setattr(plan_module, name, size)
    row = packed_cases(prefix)["little"]
    tree = plan(row.subtree_end, prefix)
    assert any(not s.causal for s in tree.above) and len({type(p) for p in tree.own}) == 2
    inputs = states(row, prefix, group=2, width=2)
    assert torch.autograd.gradcheck(lambda q, k, v: TreeAttention.apply(q, k, v, tree, 0.7)[0], inputs)


def interface(inputs: Sequence[Tensor], row: Packed, prefix: int, scale: float, smooth: bool = False) -> Tensor:
    """What a model calls, on states as `TreeAttention` takes them."""
    query, key, value = (t.transpose(0, 1)[None] for t in inputs)
    tree = plan(row.subtree_end, prefix, smooth)
    return tree_attention.tree_attention(torch.nn.Module(), query, key, value, None, scaling=scale, tree=tree)[0][0]


@pytest.mark.parametrize("case", CASES)
def test_bf16_output_and_gradients_are_as_near_as_those_of_the_fused_kernel_with_the_dense_mask(case):
    row = packed_cases(PREFIX)[case]
    inputs = states(row, PREFIX, group=3, dtype=torch.bfloat16, width=32)
    exact = [t.detach().double().requires_grad_() for t in inputs]
    query, key, value = (t.transpose(0, 1)[None] for t in inputs)
    mask = row.mask(torch.bfloat16, PREFIX)
    try:
        fused = scaled_dot_product_attention(query, key, value, mask, scale=0.2, enable_gqa=True)[0].transpose(0, 1)
    except RuntimeError as error:  # PyTorch 2.13 on a processor with AMX, held to a plainer instruction set
        if "only supported when avx512" not in str(error):
            raise
        pytest.skip(f"PyTorch's fused kernel does not run here: {error}")
    ours, truth = interface(inputs, row, PREFIX, 0.2), dense(*exact, row, PREFIX, 0.2)[0]
    weight = torch.randn(fused.shape, generator=torch.Generator().manual_seed(1)).bfloat16()
    found = [
        [out.detach(), *torch.autograd.grad(out, of, weight.to(out.dtype))]
        for out, of in ((ours, inputs), (fused, inputs), (truth, exact))
    ]
    for ours, fused, truth in zip(*found, strict=True):
        assert ours.dtype == torch.bfloat16
        error, allowed = (ours - truth).abs(), (fused - truth).abs()
        assert error.mean() <= 0.9 * allowed.mean() and error.max() <= 1.05 * allowed.max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("case", CASES)
def test_without_gradients_the_output_is_the_same(case, dtype):
    row = packed_cases(PREFIX)[case]
    inputs = states(row, PREFIX, group=3, dtype=dtype, width=16)
    with torch.no_grad():
        found = interface(inputs, row, PREFIX, 0.3)
    torch.testing.assert_close(found, interface(inputs, row, PREFIX, 0.3))


@examples(12)
@given(forests(segments=4), st.sampled_from([0, 3]), st.booleans(), st.sampled_from(SIZES), st.sampled_from([1, 2, 3]))
def test_a_smooth_plan_has_the_output_and_both_derivatives_of_dense_attention(forest, prefix, leaves, sizes, group):
    row = pack(forest, start=prefix, leaves=leaves)
    inputs = states(row, prefix, group, width=4)
    with patch.multiple(plan_module, **sizes):
        out = interface(inputs, row, prefix, 0.5, smooth=True)
    expected, _ = dense(*inputs, row, prefix, 0.5)
    assert (out - expected).abs().max() < 1e-12
    first = [torch.autograd.grad(o.square().sum(), inputs, create_graph=True) for o in (out, expected)]
    second = [torch.autograd.grad(sum(g.square().sum() for g in grads), inputs) for grads in first]
    for found, wanted in (first, second):
        assert apart(found, wanted) < 1e-9


def test_second_derivatives_of_a_smooth_plan_pass_gradgradcheck(monkeypatch):
    for name, size in LITTLE.items():
        monkeypatch.setattr(plan_module, name, size)
    row = packed_cases(2)["little"]
    inputs = states(row, 2, group=2, width=2)
    assert torch.autograd.gradgradcheck(lambda *qkv: interface(qkv, row, 2, 0.7, smooth=True), inputs, fast_mode=True)


def test_a_second_backward_pass_is_refused():
    row = packed_cases(0)["subtrees"]
    inputs = states(row, 0, group=1)
    out, _ = TreeAttention.apply(*inputs, plan(row.subtree_end), 1.0)
    with pytest.raises(RuntimeError, match="first derivatives only"):
        torch.autograd.grad(out.square().sum(), inputs[:1], create_graph=True)


def test_a_second_derivative_through_a_model_is_refused_and_not_wrong():
    backbone = make_learnable()
    tree = plant((30, [(40, [(5, [])]), (60, []), (50, [])]))
    weights = list(backbone.trainable().values())
    loss = backbone.logprobs([tree], [range(1, len(tree))]).sum()
    with pytest.raises(RuntimeError, match="twice_differentiable"):
        torch.autograd.grad(loss, weights, create_graph=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("case", CASES)
def test_other_states_in_one_branch_leave_all_rows_outside_it_bit_identical(case, dtype):
    row = packed_cases(PREFIX)[case]
    inputs = [t.detach() for t in states(row, PREFIX, group=2, dtype=dtype)]
    before = interface(inputs, row, PREFIX, 0.3)
    for top in (len(row.ids) // 3, len(row.ids) // 2, len(row.ids) - 1):
        branch = slice(top, int(row.subtree_end[top]))
        changed = [t.clone() for t in inputs]
        changed[0][branch] = 3.0
        for t in changed[1:]:
            t[PREFIX + branch.start : PREFIX + branch.stop] = -7.0
        after = interface(changed, row, PREFIX, 0.3)
        outside = torch.ones(len(row.ids), dtype=torch.bool)
        outside[branch] = False
        assert torch.equal(before[outside], after[outside])
        assert not torch.equal(before[branch], after[branch])


def test_without_a_plan_the_implementation_is_transformers_own():
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    q, k, v = torch.randn(3, 1, 4, 9, 8, generator=torch.Generator().manual_seed(0)).unbind(0)
    module = torch.nn.Module()
    module.is_causal = True  # type: ignore[assignment]
    found = tree_attention.tree_attention(module, q, k, v, None, scaling=0.2)[0]
    assert torch.equal(found, sdpa_attention_forward(module, q, k, v, None, scaling=0.2)[0])


REFUSED = {"dropout": 0.1, "softcap": 50.0, "s_aux": torch.zeros(2)}


@pytest.mark.parametrize("asked", REFUSED)
def test_what_tree_attention_does_not_compute_is_refused(asked):
    row = packed_cases(0)["little"]
    q, k, v = (t.transpose(0, 1)[None] for t in states(row, 0, group=1))
    with pytest.raises(Refused, match="which tree attention does not have"):
        tree_attention.tree_attention(
            torch.nn.Module(), q, k, v, None, tree=plan(row.subtree_end), **{asked: REFUSED[asked]}
        )
