"""Gradient-based methods: meta-gradients by finite differences in float64, special cases, second derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from conftest import tiny_config
from toys import toy_task

from metaicl.backbone import Backbone
from metaicl.methods.maml import MAML
from metaicl.tiny import tiny_tokenizer
from task_suites.episodes import EpisodeSampler
from task_suites.errors import UserError
from task_suites.formats import PromptFormat

EPISODE = EpisodeSampler(0, 3, 2).draw(toy_task(), "train", 0)


def double_backbone(layers: int = 2, **changes: object) -> Backbone:
    """A tiny GPT-2 with LoRA weights that are not zero, all in float64 (Llama's norms go through float32)."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = tiny_config(lora_r=2, lora_alpha=2, lora_targets="query-value", lora_layers=1, **changes)
    shape = {"vocab_size": 257, "n_embd": 16, "n_layer": layers, "n_head": 2, "bos_token_id": 0, "eos_token_id": 0}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GPT2LMHeadModel(GPT2Config(**shape, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0))
        backbone = Backbone(model, tiny_tokenizer(), config)
    backbone.model.double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in backbone.trainable().values():
            p.add_(0.3 * torch.randn(p.shape, generator=generator))
    return backbone


def gradient_error(
    loss: Callable[[], torch.Tensor], params: Sequence[torch.Tensor], count: int = 3, step: float = 1e-5
) -> float:
    """The largest relative difference between autograd's directional derivatives and central differences, over
    `count` random directions in `params`."""
    grads = torch.autograd.grad(loss(), params, allow_unused=True)
    generator, worst = torch.Generator().manual_seed(1), 0.0
    for _ in range(count):
        direction = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in params]
        slope = sum(float((g * d).sum()) for g, d in zip(grads, direction, strict=True) if g is not None)
        values = []
        for sign in (1, -2, 1):
            with torch.no_grad():
                for p, d in zip(params, direction, strict=True):
                    p.add_(sign * step * d)
            values.append(float(loss().detach()))
        worst = max(worst, abs((values[0] - values[1]) / (2 * step) - slope) / max(abs(slope), 1e-8))
    return worst


@pytest.mark.parametrize("options", [{}, {"in_context": True}, {"outer_loss": "every"}, {"learn_rates": True}])
def test_the_maml_gradient_equals_central_differences(options):
    backbone = double_backbone()
    method = MAML(backbone, PromptFormat(), inner_steps=2, inner_lr=0.3, **options).double()
    assert gradient_error(lambda: method([EPISODE])[0], list(method.learned().values())) < 1e-5


def test_first_and_second_order_differ_by_the_hessian_term_and_agree_at_rate_zero():
    backbone = double_backbone()
    params = list(backbone.trainable().values())

    def gradient(**options) -> torch.Tensor:
        method = MAML(backbone, PromptFormat(), inner_steps=1, clip=0.0, **options)
        return torch.cat([g.flatten() for g in torch.autograd.grad(method([EPISODE])[0], params)])

    rate = 0.2
    difference = gradient(order=1, inner_lr=rate) - gradient(order=2, inner_lr=rate)
    method = MAML(backbone, PromptFormat(), inner_steps=1, clip=0.0, inner_lr=rate, order=1)
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


def test_second_order_with_a_fused_attention_asked_for_by_name_is_our_error():
    backbone = double_backbone(attention="tree")
    with pytest.raises(UserError, match="second derivatives are asked for, and a fused attention has none"):
        MAML(backbone, PromptFormat(), inner_steps=1)([EPISODE])


def test_the_attention_is_as_before_after_second_order():
    backbone = double_backbone()
    before = backbone.attention
    MAML(backbone, PromptFormat(), inner_steps=1)([EPISODE])
    assert backbone.attention == before == "tree"


def test_lower_layers_run_once_an_episode_and_change_nothing():
    backbone = double_backbone(layers=3)
    assert backbone.lower.count == 2
    calls = []
    backbone.lower.layers[0].mlp.register_forward_hook(lambda *a: calls.append(1))
    params = list(backbone.trainable().values())
    method = MAML(backbone, PromptFormat(), inner_steps=3, order=1)
    gradient = torch.autograd.grad(method([EPISODE])[0], params)
    inside = len(calls)
    backbone.lower.count = 0  # the plain way
    plain = torch.autograd.grad(method([EPISODE])[0], params)
    assert inside < len(calls) - inside == 4  # three inner steps and the outer loss
    assert inside == 2  # the support's row and the queries' row
    assert all(torch.equal(a, b) for a, b in zip(gradient, plain, strict=True))
