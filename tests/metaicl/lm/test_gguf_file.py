"""A GGUF file is the model and its tokenizer: transformers' own reader gives the same logits and tokens from it."""

from __future__ import annotations

import json

import pytest
import torch
from tokenizers import Tokenizer, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from metaicl.lm import gguf_file
from metaicl.lm.gguf_file import write_gguf
from metaicl.lm.tiny import tiny_model, tiny_tokenizer
from metaicl.training.export import export_model
from task_suites.core.errors import UserError

TEXT = "Überall 12 plums,\n\nand a <end> of tools."


def with_merges():
    """A tokenizer of bytes and of two tokens of two bytes each."""
    tokenizer = tiny_tokenizer()
    spec = json.loads(tokenizer.backend_tokenizer.to_str())
    spec["model"]["vocab"] |= {"an": 257, "Ġt": 258}
    spec["model"]["merges"] = [["a", "n"], ["Ġ", "t"]]
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(spec)), eos_token="<end>", pad_token="<end>"
    )


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_logits_and_tokens_come_back_from_the_file(tmp_path, dtype, tied):
    model, tokenizer = tiny_model(vocabulary=260), with_merges()
    if not tied:
        model.config.tie_word_embeddings = False
        model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight))
    write_gguf(model, tokenizer, tmp_path / "model.gguf", dtype, "tiny")
    ids = tokenizer(TEXT).input_ids
    assert {257, 258} <= set(ids)
    again = AutoTokenizer.from_pretrained(tmp_path, gguf_file="model.gguf")
    assert again(TEXT, add_special_tokens=False).input_ids == ids
    opened = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf", dtype=torch.float32)
    rounded = model.to(getattr(torch, dtype)).float()
    with torch.no_grad():
        found, expected = (m(torch.tensor([ids])).logits for m in (opened, rounded))
    assert torch.allclose(found, expected, atol=1e-4)


def test_digits_by_themselves_are_named_to_llama_cpp():
    split = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(split)
    assert gguf_file.refusal(tiny_model(), tokenizer) is None
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    assert "splits texts" in gguf_file.refusal(tiny_model(), tokenizer)


def test_other_architectures_are_refused_with_the_way_out(tmp_path):
    other = GPT2LMHeadModel(GPT2Config(vocab_size=257, n_embd=32, n_layer=1, n_head=2))
    with pytest.raises(UserError, match=r"architecture is gpt2.*convert_hf_to_gguf.py"):
        write_gguf(other, tiny_tokenizer(), tmp_path / "model.gguf", "float32", "other")
    model = tiny_model()
    model.config.rope_parameters = {"rope_type": "llama3", "rope_theta": 1e4}
    with pytest.raises(UserError, match="positions are scaled"):
        write_gguf(model, tiny_tokenizer(), tmp_path / "model.gguf", "float32", "other")
    assert not list(tmp_path.iterdir())


def test_a_file_that_came_out_wrong_is_noticed_and_nothing_is_left_of_it(tmp_path, monkeypatch):
    stored = gguf_file._stored
    monkeypatch.setattr(gguf_file, "_stored", lambda tensor, dtype: stored(tensor + 1, dtype))
    with pytest.raises(UserError, match="not what was written"):
        export_model("tiny-random", tmp_path / "out", gguf=True)
    assert not (tmp_path / "out").exists()


def test_the_command_writes_one_file(tmp_path):
    export_model("tiny-random", tmp_path / "out", "bfloat16", gguf=True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model.gguf"]
