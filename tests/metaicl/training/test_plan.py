"""The plan of a training: its numbers are those of the model that would run."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import pytest
from backbones import make_learnable, tiny_config
from commands import fails
from torch.profiler import ProfilerActivity, profile
from toys import toy_suite

from metaicl.cli.main import main
from metaicl.methods import METHODS, method_class
from metaicl.training.checkpoint import MethodConfig
from metaicl.training.config import TrainerConfig, TrainRun
from metaicl.training.plan import training_plan
from metaicl.training.trainer import Trainer
from task_suites.core.errors import UserError

RUN = TrainRun(backbone=tiny_config(), trainer=TrainerConfig(max_steps=4, k=4, queries=3, episodes_per_step=4))


def test_weights_are_counted_as_they_would_be_loaded():
    planned, loaded = training_plan(RUN, toy_suite(), 1, 1.0), make_learnable()
    learned = sum(p.numel() for p in loaded.trainable().values())
    assert (planned.parameters, planned.learned) == (sum(p.numel() for p in loaded.model.parameters()), learned)
    assert (planned.weights, planned.gradients, planned.optimizer) == (4 * planned.parameters, 4 * learned, 8 * learned)


def most_of_a_real_step(run: TrainRun, folder: Path) -> int:
    """Return the most bytes of tensors that the second step of a training makes, by PyTorch's profiler."""
    method = MethodConfig(run.method, {}, run.backbone, run.format)
    tasks = toy_suite().split("meta_train")
    trainer = Trainer(method.build(), method, tasks, run.trainer, folder, progress=False)
    trainer.take_step()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        trainer.take_step()
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    return max(accumulate(e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())))


@pytest.mark.parametrize("row_tokens", [1, 8192], ids=["two rows", "one row"])
@pytest.mark.parametrize("options", [{}, {"weights": "full"}, {"gradient_checkpointing": True}], ids=str)
def test_planned_memory_is_that_of_the_tensors_of_a_real_step(options, row_tokens, tmp_path):
    """What the second step of two episodes makes are its activations and its gradients."""
    trainer = TrainerConfig(max_steps=2, k=16, queries=16, episodes_per_step=2, row_tokens=row_tokens)
    run = TrainRun(backbone=tiny_config(**options), trainer=trainer)
    planned = training_plan(run, toy_suite(), 1, 1.0)
    assert most_of_a_real_step(run, tmp_path) == pytest.approx(planned.activations + planned.gradients, rel=0.15)


@pytest.mark.parametrize("method", ["lstm_meta", "snail", "fomaml_icl", "maml", "platipus"])
def test_planned_memory_of_an_inner_loop_and_of_a_method_with_weights_of_its_own(method, tmp_path):
    """Second derivatives are planned with a dense mask, as they are on a GPU."""
    trainer = TrainerConfig(max_steps=2, k=8, queries=8, episodes_per_step=2, row_tokens=1)
    attention = "dense" if method in ("maml", "platipus") else "auto"
    run = TrainRun(method=method, backbone=tiny_config(weights=None, attn_implementation=attention), trainer=trainer)
    planned = training_plan(run, toy_suite(), 1, 1.0)
    assert most_of_a_real_step(run, tmp_path) == pytest.approx(planned.activations + planned.gradients, rel=0.15)


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name == "bmaml" else [])
        for name in METHODS
        if method_class(name).meta_trained
    ],
)
def test_each_meta_trained_method_is_planned(method):
    run = TrainRun(
        method=method, backbone=tiny_config(weights=None), trainer=TrainerConfig(max_steps=1, k=4, queries=2)
    )
    planned = training_plan(run, toy_suite(), 1, 1.0)
    assert planned.learned > 0 and planned.activations > 0 and planned.step_flops > 0


def test_devices_share_the_tokens_and_send_the_gradients_round_a_ring():
    one, four = (training_plan(RUN, toy_suite(), devices, 2.0) for devices in (1, 4))
    assert one.traffic == 0 and four.traffic == round(2 * 3 / 4 * 4 * one.learned)
    assert one.step_tokens == four.step_tokens and one.seconds == pytest.approx(4 * four.seconds)
    assert four.row_tokens < one.row_tokens and four.activations < one.activations
    assert one.seconds == pytest.approx(4 * one.step_flops / 2e12)


def test_checkpointed_layers_store_less():
    checkpointed = replace(RUN, backbone=tiny_config(gradient_checkpointing=True))
    assert (
        training_plan(checkpointed, toy_suite(), 1, 1.0).activations
        < training_plan(RUN, toy_suite(), 1, 1.0).activations
    )


def test_devices_that_cannot_share_the_episodes_are_refused():
    with pytest.raises(UserError, match=r"not a multiple of the number of devices.*Set --episodes_per_step 3"):
        training_plan(RUN, toy_suite(), 3, 1.0)


def test_the_command_prints_the_plan_and_trains_nothing(tmp_path, capsys):
    words = ["train", "--suite", "toys:toy_suite", "--model", "tiny-random", "--output_dir", str(tmp_path / "run")]
    main([*words, "--plan", "1", "--plan_tflops", "0.5"])
    assert "time, at least, at 0.50 TFLOP/s a device" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()
    with pytest.raises(SystemExit):
        main([*words, "--plan_tflops", "0.5"])
    assert "plan" in capsys.readouterr().err


@pytest.mark.parametrize(("seconds", "said"), [(0.004, "less than 0.1 s"), (0.44, "0.4 s"), (44.4, "44 s")])
def test_a_short_time_is_never_none(seconds, said):
    planned = training_plan(RUN, toy_suite(), 1, 1.0)
    rate = planned.steps * planned.step_flops / seconds
    assert replace(planned, rate=rate).table().endswith(f"  {said}")


def test_a_model_that_was_never_fetched_is_one_clear_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    told = fails(capsys, "train", "--suite", "toys:toy_suite", "--model", "me/other", "--plan", "1")
    assert "me/other" in told and "A hub model is fetched once" in told
