"""What only a GPU runs: FlexAttention compiled, its gradients, training in bf16. Skipped where there is none.

The other tests run their tiny models there too with METAICL_TEST_DEVICE=cuda.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from families import make, tree
from training import CONFIG, TASKS
from trees import plant

from metaicl.lm.backbone import Backbone
from metaicl.lm.config import BackboneConfig
from metaicl.lm.prompt_tree import pack
from metaicl.lm.tiny import tiny_tokenizer
from metaicl.training.checkpoint import MethodConfig
from metaicl.training.trainer import Trainer
from task_suites.formats.prompt_format import PromptFormat

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")

WIDE = {"hidden_size": 64, "num_key_value_heads": 2}  # FlexAttention's heads are 16 wide at least
OTHER = plant((300, [(7, [(2, []), (3, [])])] * 40))
FOREST, WANTED = [tree(), OTHER], [range(1, len(tree())), range(1, len(OTHER))]


def wrap(attention: str, precision: str) -> Backbone:
    config = BackboneConfig("llama", "full", dtype=precision, device="cuda", attn_implementation=attention)
    return Backbone(make("llama", **WIDE).cuda(), tiny_tokenizer(), config)


def test_auto_takes_flex_attention():
    assert wrap("auto", "float32").attention == wrap("auto", "bfloat16").attention == "flex"


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 3e-2)])
def test_flex_attention_has_the_dense_masks_values_and_gradients(precision, tolerance):
    values, gradients = [], []
    for attention in ("dense", "flex"):
        backbone = wrap(attention, precision)
        values.append(backbone.logprobs(FOREST, WANTED))
        values[-1].sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in backbone.model.parameters()]))
    for expected, found in (values, gradients):
        assert (found - expected).norm() < tolerance * expected.norm()


def test_a_long_rows_mask_takes_no_token_by_token_memory():
    backbone = wrap("auto", "bfloat16")
    forest = [plant((900, [(20, [])] * 20), seed=s) for s in range(16)]
    row = pack(forest)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    mask = backbone._attention_inputs(row, 0)["attention_mask"]
    assert mask is not None and torch.cuda.max_memory_allocated() - before < len(row.ids) ** 2 / 100


@pytest.mark.parametrize("name", ["metaicl", "metaicl_channel", "fomaml", "maml", "fomaml_icl", "protonet"])
def test_methods_train_in_bf16(tmp_path, name):
    backbone = BackboneConfig("tiny-random", device="cuda", dtype="auto", lora_r=4)
    method_config = MethodConfig(name, {}, backbone, PromptFormat())
    trainer = Trainer(method_config.build(), method_config, TASKS, replace(CONFIG, max_steps=2), tmp_path, None, False)
    assert method_config.build().backbone.config.dtype == "bfloat16"
    assert all(math.isfinite(trainer.take_step()["loss"]) for _ in range(2))
