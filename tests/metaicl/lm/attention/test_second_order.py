"""Second derivatives run without fused kernels, or are refused where the model has no other way."""

from __future__ import annotations

import logging

import pytest
import torch
from backbones import double_backbone
from families import make, own_logprobs, tree, tree_logprobs, wrap
from gradients import EPISODE

from metaicl.lm.attention import selection
from metaicl.lm.attention.second_order import twice_differentiable
from metaicl.methods.gradient.maml import MAML
from task_suites.core.errors import UserError
from task_suites.formats.prompt_format import PromptFormat


@pytest.fixture(autouse=True)
def unreported():
    """Nothing has been reported yet."""
    selection.report.cache_clear()


@pytest.mark.parametrize("dense", [True, False], ids=["a mask", "no mask"])
def test_flex_attention_gives_way_to_a_dense_mask_for_second_derivatives_where_there_is_one(dense, monkeypatch):
    """As on a GPU, where "auto" takes flex; no kernel of it runs here."""
    backbone = wrap(make("llama"))
    backbone.run_with("flex")
    if not dense:
        monkeypatch.setattr(selection, "refusal", lambda *args: "it was said so")
        with pytest.raises(UserError, match=r"takes no dense mask.*it was said so"), twice_differentiable(backbone):
            pass
    else:
        with twice_differentiable(backbone):
            assert backbone.attention == "dense" and backbone.model_config._attn_implementation == "sdpa"
            found = tree_logprobs(backbone, tree())
        assert (found - own_logprobs(make("llama"), tree())).abs().max() < 1e-4
    assert backbone.attention == "flex" and backbone.model_config._attn_implementation == "prompt_flex"


def test_second_order_with_a_fused_attention_asked_for_by_name_is_our_error():
    backbone = double_backbone(attn_implementation="tree")
    with pytest.raises(UserError, match="second derivatives are requested, and a fused attention has none"):
        MAML(backbone, PromptFormat(), MAML.Config(inner_steps=1, test_steps=None, inner_lr=0.3))([EPISODE])


def test_the_attention_is_as_before_after_second_order():
    backbone = double_backbone()
    before = backbone.attention
    MAML(backbone, PromptFormat(), MAML.Config(inner_steps=1, test_steps=None, inner_lr=0.3))([EPISODE])
    assert backbone.attention == before == "tree"


@pytest.mark.parametrize(("attention", "times"), [("auto", 1), ("dense", 0), ("plain", 0)])
def test_that_second_order_runs_without_fused_kernels_is_said_once_where_there_are_any(attention, times, caplog):
    method = MAML(
        double_backbone(attn_implementation=attention),
        PromptFormat(),
        MAML.Config(inner_steps=1, test_steps=None, inner_lr=0.3),
    )
    with caplog.at_level(logging.INFO, "metaicl"):
        for _ in range(2):
            method([EPISODE, EPISODE])
    assert sum("Second order" in record.getMessage() for record in caplog.records) == times


def test_torchs_own_check_of_second_derivatives_holds_for_an_inner_step_on_a_language_model():
    backbone = double_backbone()
    method = MAML(backbone, PromptFormat(), MAML.Config(inner_steps=1, inner_lr=0.3, test_steps=None))
    names = list(backbone.trainable())

    def support_loss(*tensors: torch.Tensor) -> torch.Tensor:
        return method.support_loss(EPISODE.task, EPISODE.support, dict(zip(names, tensors, strict=True)))

    inputs = tuple(p.detach().clone().requires_grad_() for p in backbone.trainable().values())
    with method.learning(2):
        assert torch.autograd.gradgradcheck(support_loss, inputs, fast_mode=True)
