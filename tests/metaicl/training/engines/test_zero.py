"""Two processes that share a training by DeepSpeed's ZeRO take the steps of one, and save plain folders."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from sharded import TRAINED, Plan, launch
from training import make

from metaicl.training.checkpoint import load_method
from metaicl.training.engines.zero import refusal

LARGEST = 2e-5  # of losses and weights in float32, DeepSpeed's type, over ten steps
IN_CONTEXT = {name: TRAINED[name] for name in ("metaicl", "metaicl-full", "channel")}
LOOPS = {name: {"method": name, "weights": "lora"} for name in ("fomaml", "maml")}
OWN = {"protonet": {"method": "protonet", "weights": "frozen"}}
PLANS = {2: Plan(IN_CONTEXT | LOOPS, OWN, double=False), 3: Plan(IN_CONTEXT, LOOPS | OWN, double=False)}


@pytest.mark.slow
@pytest.mark.parametrize("stage", sorted(PLANS))
def test_two_processes_that_share_a_training_take_the_steps_of_one(tmp_path, stage):
    pytest.importorskip("deepspeed", reason="the extra deepspeed is not installed")
    plan = PLANS[stage]
    zero = {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": str(stage)}
    one, two = launch(tmp_path, "one", 1, plan=plan), launch(tmp_path, "two", 2, zero, plan)
    assert (one["engine"], two["engine"]) == ("Engine", "Zero")
    for case in plan.trained:
        assert two["losses"][case] == pytest.approx(one["losses"][case], abs=LARGEST), case
        assert two["scores"][case] == pytest.approx(one["scores"][case], abs=10 * LARGEST), case
        assert two["shares"][case] < 0.6 or stage == 2, "each process holds half of the weights"
        files = [
            {p.name: load_file(p) for p in (tmp_path / name / case / "best").glob("*.safetensors")}
            for name in ("one", "two")
        ]
        assert files[0] and files[0].keys() == files[1].keys()
        for name, whole in files[0].items():
            assert whole.keys() == files[1][name].keys()
            assert all(torch.allclose(whole[n], files[1][name][n], atol=10 * LARGEST, rtol=0) for n in whole), case
        load_method(tmp_path / "two" / case / "best")
    assert two["refused"].keys() == plan.refused.keys()


@pytest.mark.parametrize(
    ("stage", "method", "weights", "reason"),
    [
        (3, "metaicl", "full", None),
        (2, "maml", "lora", None),
        (3, "fomaml", "lora", "zero_stage: 2"),
        (3, "snail", "frozen", "passes through the model"),
        (2, "protonet", "frozen", "a single number"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_the_reason(tmp_path, stage, method, weights, reason):
    found = refusal(make(tmp_path, method, weights=weights).method, stage)
    assert found is None if reason is None else found is not None and reason in found
