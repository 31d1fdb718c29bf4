"""Adapters need bitsandbytes only where weights are in fewer bits, and GPT-2's need no advice."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from metaicl.lm.backbone import Backbone
from metaicl.lm.config import BackboneConfig
from metaicl.lm.tiny import tiny_tokenizer

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
import sys
from pathlib import Path
from metaicl.lm.backbone import Backbone
from metaicl.lm.config import BackboneConfig
from metaicl.lm.merged import merge
from metaicl.lm.tiny import tiny_model
from metaicl.training.checkpoint import save_backbone

settings = {"dtype": "float32", "device": "cpu"}
adapted = Backbone.load(BackboneConfig("tiny-random", weights="lora", **settings))
folder = Path(sys.argv[1])
save_backbone(adapted, folder)
(folder / "adapters").mkdir(exist_ok=True)
merge(tiny_model(), folder)
assert "bitsandbytes" not in sys.modules, "imported where no weights in fewer bits were requested"
print("without")
if len(sys.argv) > 2:
    adapted = Backbone.load(BackboneConfig(sys.argv[2], weights="lora", quantization="4bit", **settings))
    print("with", {type(m).__name__ for n, m in adapted.model.named_modules() if n.endswith("q_proj")})
"""


@pytest.fixture
def wide(tmp_path: Path) -> str:
    """A random Llama that is wide enough for blocks of 64 weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 4}
    LlamaForCausalLM(LlamaConfig(vocab_size=257, max_position_embeddings=128, **sizes)).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    return str(tmp_path)


def test_bitsandbytes_is_imported_where_weights_in_fewer_bits_get_adapters_and_not_before(tmp_path, wide):
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed (the extra `bitsandbytes`)")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "saved"), wide]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["without", "with {'Linear4bit'}"]


@pytest.mark.parametrize("targets", ["all-linear", "query-value", "c_proj"])
def test_adapters_of_gpt2_are_made_without_a_warning(tmp_path, targets):
    config = GPT2Config(vocab_size=257, n_positions=64, n_embd=32, n_layer=1, n_head=2)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        found = Backbone.load(BackboneConfig(str(tmp_path), dtype="float32", device="cpu", target_modules=targets))
    assert found.model.peft_config["default"].fan_in_fan_out
    assert torch.isfinite(found.plain_logits([5, 9])).all()
