"""What a training says beside its loss."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest
import torch
from backbones import make_learnable, tiny_config
from torch import nn
from training import CONFIG, make

from metaicl.lm.devices import matmul_rate
from metaicl.training import pace
from metaicl.training.pace import Pace, brief, most_memory, token_operations
from metaicl.training.traced import operations, shapes


def traced(tokens: int, **options) -> int:
    """Return the operations of the layers of a pass over a causal row."""
    backbone = shapes(tiny_config(**options).resolved())
    row = {"input_ids": torch.zeros(1, tokens, dtype=torch.long, device="meta")}
    row["attention_mask"] = torch.zeros(1, 1, 1, 1, device="meta")

    def loss() -> torch.Tensor:
        return backbone.model(**row, output_hidden_states=True, logits_to_keep=1).hidden_states[-1].sum()

    return operations(backbone.model, loss)


@pytest.mark.parametrize(
    "options", [{"weights": "full"}, {"lora_r": 4}, {"lora_r": 4, "gradient_checkpointing": True}], ids=str
)
def test_operations_of_a_token_are_those_of_a_traced_pass_without_attention(options):
    """Attention grows with the square of the tokens, what is wanted with the tokens."""
    few, many = traced(64, **options), traced(128, **options)
    linear = (4 * few - many) / 2 / 64
    assert token_operations(make_learnable(**options)) == pytest.approx(linear, rel=0.05)


def test_layers_below_the_first_that_learns_only_run_forward():
    upper, whole = (token_operations(make_learnable(lora_r=1, lora_layers=layers)) for layers in (1, 0))
    assert upper < whole < 2 * upper


def test_nothing_is_said_of_the_operations_of_experts():
    backbone = make_learnable()
    backbone.lower.layers[0].experts = nn.ParameterList([torch.ones(4, 8, 8)])
    assert token_operations(backbone) == 0


def test_metrics_say_the_pace_of_the_run(tmp_path):
    """Whatever the seconds are, tokens and queries a second are as tokens and queries."""
    trainer = make(tmp_path, config=replace(CONFIG, max_steps=3))
    before = trainer.method.backbone.tokens_run
    trainer.run()
    last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    tokens, queries = trainer.method.backbone.tokens_run - before, 3 * CONFIG.episodes_per_step * CONFIG.queries
    assert last["queries_per_second"] / last["tokens_per_second"] == pytest.approx(queries / tokens)
    share = last["tokens_per_second"] * token_operations(trainer.method.backbone) / matmul_rate("float32", "cpu")
    assert last["matmul_share"] == pytest.approx(share)
    assert sys.platform != "linux" or last["peak_memory"] >= 50e6


def test_methods_of_several_passes_say_no_share(tmp_path):
    values = Pace(make(tmp_path, "fomaml").method).values(3)
    assert "matmul_share" not in values and values["queries_per_second"] > 0


def test_memory_that_the_system_does_not_say_is_left_out(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    assert most_memory(torch.device("cpu")) == 0
    assert "peak_memory" not in pace.Pace(make(tmp_path).method).values(0)


def test_the_bar_shows_the_same_numbers_briefly():
    values = {"loss": 0.12345, "tokens_per_second": 1234.5, "queries_per_second": 7.25}
    assert brief(values) == {"loss": "0.123", "tok_s": "1234", "q_s": "7.2"}
    more = brief({**values, "peak_memory": 2_340_000_000, "matmul_share": 0.375})
    assert (more["mem"], more["matmul"]) == ("2.3GB", "38%")
