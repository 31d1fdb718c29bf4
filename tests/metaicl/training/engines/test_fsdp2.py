"""A model sharded over two processes (FSDP2) trains as a whole one, and what it saves is a plain folder."""

from __future__ import annotations

import pytest
import torch
from curves import in_float64
from safetensors.torch import load_file
from sharded import REFUSED, TRAINED, launch
from training import make

from metaicl.training.checkpoint import load_method
from metaicl.training.engines.fsdp2 import refusal

LARGEST = 1e-9  # of losses and weights in float64 over ten steps


@pytest.mark.slow
def test_two_processes_that_share_a_model_take_the_steps_of_one(tmp_path):
    one, two = launch(tmp_path, "one", 1), launch(tmp_path, "two", 2)
    assert two["engine"] == "FSDP2" and one["engine"] == "Engine"
    for case in TRAINED:
        apart = max(abs(a - b) for a, b in zip(one["losses"][case], two["losses"][case], strict=True))
        assert len(two["losses"][case]) == 10 and apart < LARGEST, f"{case}: {apart}"
        assert two["scores"][case] == pytest.approx(one["scores"][case], abs=LARGEST)
        assert two["shares"][case] < 0.6, "each process holds half of the weights, and the adapters"
        files = [
            {p.name: p for p in (tmp_path / name / case / "best").glob("*.safetensors")} for name in ("one", "two")
        ]
        assert files[0].keys() == files[1].keys() and files[0]
        for name, path in files[0].items():
            whole, shared = load_file(path), load_file(files[1][name])
            assert whole.keys() == shared.keys()
            assert all(torch.allclose(whole[n], shared[n], atol=LARGEST, rtol=0) for n in whole), case
        with in_float64():
            load_method(tmp_path / "two" / case / "best")
    assert two["refused"].keys() == REFUSED.keys()
    assert "second derivatives need a layer's weights again" in two["refused"]["maml"]
    assert "configs/accelerate/multi_gpu.yaml" in two["refused"]["protonet"]


@pytest.mark.parametrize(
    ("method", "weights", "reason"),
    [
        ("metaicl", "lora", None),
        ("metaicl", "full", None),
        ("metaicl_channel", "lora", None),
        ("fomaml", "lora", None),
        ("fomaml", "full", "inner loop replaces weights"),
        ("maml", "lora", "second derivatives"),
        ("bmaml", "lora", "second derivatives"),
        ("protonet", "frozen", "passes through the model"),
    ],
)
def test_what_is_not_trained_on_a_sharded_model_is_refused_with_the_reason(tmp_path, method, weights, reason):
    found = refusal(make(tmp_path, method, weights=weights).method)
    assert found is None if reason is None else found is not None and reason in found
