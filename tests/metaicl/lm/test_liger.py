"""Liger's kernels: in one model only, and refused where they cannot run or would be wrong. The library needs a GPU, so
a stand-in that exchanges classes as it does serves where there is none."""

from __future__ import annotations

import copy
import dataclasses
import sys

import pytest
import torch
from backbones import tiny_config
from families import tree
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama import modeling_llama

from metaicl.lm import liger
from metaicl.lm.attention.second_order import twice_differentiable
from metaicl.lm.backbone import Backbone
from metaicl.lm.kinds import load_backbone
from task_suites.core.errors import UserError

STAND_IN = """
from types import MethodType
from transformers.models.llama import modeling_llama

class LigerRMSNorm(modeling_llama.LlamaRMSNorm):
    def forward(self, states):
        return 2 * super(LigerRMSNorm, self).forward(states) / 2

def _norm(self, states):
    return self.weight * states * (states.pow(2).mean(-1, keepdim=True) + self.variance_epsilon).rsqrt()

def llama(model, rms_norm=True):
    modeling_llama.LlamaRMSNorm = LigerRMSNorm
    model.model.norm.forward = MethodType(_norm, model.model.norm)

MODEL_TYPE_TO_APPLY_LIGER_FN = {"llama": llama, "gpt2": lambda model: None}

def _apply_liger_kernel_to_instance(model, **options):
    assert not any(options.values())
    MODEL_TYPE_TO_APPLY_LIGER_FN[model.config.model_type](model)
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    folder = tmp_path / "liger_kernel" / "transformers"
    folder.mkdir(parents=True)
    for place in (folder, folder.parent):
        (place / "__init__.py").write_text("")
    (folder / "monkey_patch.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("liger_kernel", "liger_kernel.transformers", "liger_kernel.transformers.monkey_patch"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def llama() -> LlamaForCausalLM:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    return LlamaForCausalLM(LlamaConfig(vocab_size=257, **sizes)).eval()


def test_the_kernels_go_into_one_model_and_later_ones_are_as_they_were(stand_in):
    model, before = llama(), modeling_llama.LlamaRMSNorm
    plain = copy.deepcopy(model)
    liger.put_into(model, "a llama")
    assert liger.has_kernel(model.model.norm) and modeling_llama.LlamaRMSNorm is before
    assert not any(map(liger.has_kernel, llama().modules()))
    ids = torch.arange(9)[None]
    assert torch.allclose(model(ids).logits, plain(ids).logits, atol=1e-6)


@pytest.mark.parametrize("kind", ["lama", "gpt2"])
def test_a_model_without_kernels_is_an_error(stand_in, kind):
    model = llama()
    model.config.model_type = kind
    with pytest.raises(UserError, match=rf"Liger has no kernels for a model; found model type {kind}.*Leave"):
        liger.put_into(model, "a model")


def test_what_cannot_run_the_kernels_says_so(monkeypatch):
    wanted = tiny_config(use_liger_kernel=True)
    with pytest.raises(UserError, match="run on CUDA GPUs only; found device cpu"):
        Backbone.load(wanted)
    monkeypatch.setattr(liger, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install "metaicl\[liger\]"'):
        liger.with_liger(llama(), wanted, "cuda:0")
    with pytest.raises(UserError, match="use_liger_kernel is True, but tiny-encoder is a sentence encoder"):
        load_backbone(tiny_config(model="tiny-encoder", use_liger_kernel=True))


def test_second_derivatives_are_refused_since_the_kernels_would_drop_them(frozen):
    backbone = copy.copy(frozen)
    backbone.config = dataclasses.replace(backbone.config, use_liger_kernel=True)
    with pytest.raises(UserError, match="first derivatives only"), twice_differentiable(backbone):
        pass


@pytest.mark.skipif(not torch.cuda.is_available(), reason="Liger's kernels run on CUDA GPUs only")
def test_the_real_kernels_give_the_same_answers_and_gradients():
    pytest.importorskip("liger_kernel", reason="liger-kernel is not installed (the extra `liger`)")
    found = []
    for use in (False, True):
        backbone = Backbone.load(tiny_config(device="cuda", dtype="float32", use_liger_kernel=use))
        values = backbone.logprobs([tree()], [[5, 9, 40, 300]])
        values.sum().backward()
        gradients = [p.grad.flatten() for p in backbone.trainable().values() if p.grad is not None]
        found.append((values.detach(), torch.cat(gradients)))
    assert torch.allclose(found[0][0], found[1][0], atol=1e-4)
    assert (found[0][1] - found[1][1]).norm() < 1e-3 * found[0][1].norm()
