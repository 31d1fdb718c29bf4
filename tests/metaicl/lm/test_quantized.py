"""Base weights in four and eight bits: right derivatives, saved and loaded, and refused where they cannot be right."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from backbones import tiny_config
from families import tree
from on_toys import TASKS, scores
from transformers import LlamaConfig, LlamaForCausalLM

from metaicl.lm import quantized
from metaicl.lm.attention.second_order import twice_differentiable
from metaicl.lm.backbone import Backbone
from metaicl.lm.kinds import load_backbone
from metaicl.lm.loading import open_model
from metaicl.lm.tiny import tiny_tokenizer
from metaicl.testing import draw
from metaicl.training.checkpoint import MethodConfig, load_method, save_method
from task_suites.core.errors import UserError
from task_suites.formats.prompt_format import PromptFormat

bnb = pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed (the extra `bitsandbytes`)")
BITS = ("4bit", "8bit")
WANTED = [5, 9, 40, 300]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random Llama that is wide enough for blocks of 64 weights."""
    place = tmp_path_factory.mktemp("wide")
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(LlamaConfig(vocab_size=257, max_position_embeddings=512, **sizes)).save_pretrained(place)
    tiny_tokenizer().save_pretrained(place)
    return str(place)


def moved(config) -> Backbone:
    """A backbone with adapters that differ from zero, after a first pass without a graph."""
    backbone = Backbone.load(config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in backbone.trainable().values():
            p.copy_(0.05 * torch.randn(p.shape, generator=generator))
        backbone.logprobs([tree()], [WANTED])
    return backbone


def derivatives(backbone: Backbone) -> torch.Tensor:
    backbone.logprobs([tree()], [WANTED]).sum().backward()
    return torch.cat([p.grad.flatten() for p in backbone.trainable().values()])


def test_derivatives_through_four_bits_are_those_of_the_weights_that_they_stand_for(folder):
    found = moved(tiny_config(model=folder, quantization="4bit"))
    plain = moved(tiny_config(model=folder))
    layers = dict(plain.base_model.named_modules())
    for name, module in found.base_model.named_modules():
        if isinstance(module, bnb.nn.Linear4bit):
            meant = bnb.functional.dequantize_4bit(module.weight.data, module.weight.quant_state)
            layers[name].weight.data.copy_(meant)
    with torch.no_grad():
        assert torch.allclose(found.logprobs([tree()], [WANTED]), plain.logprobs([tree()], [WANTED]), atol=1e-4)
    expected = derivatives(plain)
    assert (derivatives(found) - expected).norm() < 1e-4 * expected.norm()


def test_derivatives_through_eight_bits_point_where_those_of_the_whole_weights_do(folder):
    found = derivatives(moved(tiny_config(model=folder, quantization="8bit")))
    expected = derivatives(moved(tiny_config(model=folder)))
    assert torch.cosine_similarity(found, expected, 0) > 0.99
    assert not torch.equal(found, expected)


@pytest.mark.parametrize("bits", BITS)
def test_a_method_on_fewer_bits_is_saved_and_loaded_with_the_same_scores(folder, tmp_path, bits):
    config = MethodConfig("metaicl", {}, tiny_config(model=folder, weights="lora", quantization=bits), PromptFormat())
    method, episode = config.build(), draw(TASKS["options"], k=4, queries=3)
    with torch.no_grad():
        for p in method.learned().values():
            p.add_(0.05)
    save_method(method, config, tmp_path / "best")
    again = load_method(tmp_path / "best")
    assert again.backbone.config.quantization == bits
    expected = scores(method, episode, ())
    assert np.allclose(scores(again, episode, ()), expected, atol=1e-5)
    with pytest.raises(UserError, match=f"in {bits}, which a merge cannot keep.*--methods"):
        open_model(str(tmp_path / "best"), torch.float32)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("model", ["tiny-random", "adapters", "tiny-encoder"])
def test_a_model_whose_bits_cannot_be_reduced_is_refused(folder, tmp_path, model, bits):
    if model == "adapters":
        config = MethodConfig("metaicl", {}, tiny_config(model=folder, weights="lora"), PromptFormat())
        save_method(config.build(), config, tmp_path / model)
        model = str(tmp_path / model)
    with pytest.raises(UserError, match=r"quantization .*Leave quantization out"):
        load_backbone(tiny_config(model=model, quantization=bits))


def test_weights_that_would_have_to_learn_are_refused(folder):
    with pytest.raises(UserError, match=r"weights is full, but weights in 4bit do not learn.*weights lora"):
        Backbone.load(tiny_config(model=folder, weights="full", quantization="4bit"))


def test_second_derivatives_are_refused(folder):
    backbone = Backbone.load(tiny_config(model=folder, quantization="8bit"))
    with (
        pytest.raises(UserError, match=r"products with weights in 8bit have none.*fomaml"),
        twice_differentiable(backbone),
    ):
        pass


def test_without_the_library_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(quantized, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"bitsandbytes is not installed.*metaicl\[bitsandbytes\]"):
        quantized.quantized(tiny_config(quantization="4bit"), "cpu", torch.float32)
    assert not quantized.quantized(dataclasses.replace(tiny_config(), quantization="none"), "cpu", torch.float32)
