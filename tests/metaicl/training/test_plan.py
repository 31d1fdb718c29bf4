"""The plan of a training: its numbers are those of the model that would run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from backbones import make_learnable, tiny_config
from commands import fails
from toys import toy_suite

from metaicl.cli.main import main
from metaicl.lm.tiny import tiny_model
from metaicl.training.config import TrainerConfig, TrainRun
from metaicl.training.plan import pass_over, shapes, training_plan
from task_suites.core.errors import UserError

RUN = TrainRun(backbone=tiny_config(), trainer=TrainerConfig(max_steps=4, k=4, queries=3, episodes_per_step=4))


def stored_by_a_real_pass(model: torch.nn.Module, tokens: int) -> int:
    """Return the bytes of the tensors that a real forward pass stores, weights left out."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    stored: dict[int, tuple[int, torch.Tensor]] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            stored[storage.data_ptr()] = storage.nbytes(), tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(input_ids=torch.zeros(1, tokens, dtype=torch.long), use_cache=False, logits_to_keep=1)
    return sum(count for count, _ in stored.values())


def test_weights_are_counted_as_they_would_be_loaded():
    planned, loaded = training_plan(RUN, toy_suite(), 1, 1.0), make_learnable()
    learned = sum(p.numel() for p in loaded.trainable().values())
    assert (planned.parameters, planned.learned) == (sum(p.numel() for p in loaded.model.parameters()), learned)
    assert (planned.weights, planned.gradients, planned.optimizer) == (4 * planned.parameters, 4 * learned, 8 * learned)


@pytest.mark.parametrize("weights", ["lora", "full"])
def test_stored_activations_are_those_of_a_real_pass(weights):
    config = tiny_config(weights=weights).resolved()
    planned, _ = pass_over(shapes(config).model, 200)
    real = make_learnable(weights=weights)
    real.run_with("plain")
    stored = stored_by_a_real_pass(real.model, 200)
    assert stored <= planned <= 1.1 * stored


def test_operations_of_full_training_are_six_for_each_weight_and_token():
    """Forward two, backward four, in the layers' linear maps; attention comes on top and grows with the square."""
    model = shapes(tiny_config(weights="full").resolved()).model
    linear = sum(
        m.weight.numel() for n, m in tiny_model().named_modules() if isinstance(m, torch.nn.Linear) and n != "lm_head"
    )
    (_, few), (_, many) = pass_over(model, 64), pass_over(model, 128)
    attention = (many - 2 * few) / 2  # of 64 tokens: linear work doubles, attention quadruples
    head = 6 * 32 * 257  # one position
    assert few - attention == pytest.approx(6 * 64 * linear + head, rel=0.02)


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


@pytest.mark.parametrize(
    ("run", "devices", "said"),
    [
        (RUN, 3, r"not a multiple of the number of devices.*Set --episodes_per_step 3"),
        (replace(RUN, method="fomaml"), 1, "a step of fomaml is more than one pass"),
    ],
)
def test_what_cannot_be_planned_is_refused(run, devices, said):
    with pytest.raises(UserError, match=said):
        training_plan(run, toy_suite(), devices, 1.0)


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
