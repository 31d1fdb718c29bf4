"""The outer loop: equal steps however a batch is cut, exact resume, early stopping, nothing half-written."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from backbones import tiny_config
from disks import small_disk
from helpers import launch_two
from toys import choice_task
from training import CONFIG, TASKS, equal, make, weights

from metaicl.training.checkpoint import MethodConfig, load_method, read_card, save_method
from metaicl.training.folders import whole_folder
from metaicl.training.step_episodes import training_episodes
from metaicl.training.trainer import Trainer
from task_suites.core.errors import UserError
from task_suites.episodes import Episode
from task_suites.formats.prompt_format import PromptFormat


def test_accumulation_takes_the_same_steps_as_one_large_batch(tmp_path):
    # by the papers' likelihood: where gradients are as small as those of two options, Adam magnifies their rounding
    whole, cut = (make(tmp_path / str(n), "ict", replace(CONFIG, row_tokens=n)) for n in (100_000, 1))
    losses = [(whole.take_step()["loss"], cut.take_step()["loss"]) for _ in range(3)]
    assert all(a == pytest.approx(b, rel=1e-5) for a, b in losses)
    assert equal(weights(whole), weights(cut), 1e-5)


def test_the_loss_of_a_step_is_per_supervised_token_over_all_episodes(tmp_path):
    trainer = make(tmp_path)
    episodes = training_episodes(TASKS, CONFIG, 0)
    loss, weight = trainer.method(episodes)
    assert trainer.take_step()["loss"] == pytest.approx(float(loss) / float(weight), rel=1e-5)


@pytest.mark.parametrize("objective", ["tokens", "options"])
def test_metaicl_on_empty_support_sets_takes_the_steps_of_multi_task_learning(tmp_path, monkeypatch, objective):
    def trained(name: str) -> tuple[list[float], dict[str, torch.Tensor]]:
        method_config = MethodConfig(name, {"objective": objective}, tiny_config(), PromptFormat())
        trainer = Trainer(method_config.build(), method_config, TASKS, CONFIG, tmp_path / name, progress=False)
        return [trainer.take_step()["loss"] for _ in range(3)], weights(trainer)

    (losses, multitask), (shown, _) = trained("multitask"), trained("metaicl")

    def without_support(*args: object) -> list[Episode]:
        return [replace(e, support=()) for e in training_episodes(*args)]

    monkeypatch.setattr("metaicl.training.trainer.training_episodes", without_support)
    bare, metaicl = trained("metaicl")
    assert bare == losses != shown and equal(multitask, metaicl)


@pytest.mark.parametrize("name", ["metaicl", "protonet", "fomaml"])
def test_a_resumed_run_is_bit_identical_to_an_uninterrupted_one(tmp_path, name):
    config = replace(CONFIG, episodes_per_step=2, save_steps=2)
    straight = make(tmp_path / "straight", name, config)
    straight.run()
    broken = make(tmp_path / "broken", name, config)
    for _ in range(2):
        broken.take_step()
    broken.save_checkpoint()
    broken.take_step()  # lost: it lies after the checkpoint
    resumed = make(tmp_path / "broken", name, config)
    resumed.run()
    assert resumed.step == straight.step == 4
    assert equal(weights(straight), weights(resumed))


def test_metrics_hold_each_step_once_after_a_resume(tmp_path):
    config = replace(CONFIG, episodes_per_step=1, save_steps=2, max_steps=3)
    first = make(tmp_path, config=config)
    first.run()
    assert (tmp_path / "checkpoints" / "step-000003" / "learned.pt").is_file()
    for step in (3,):
        assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == [f"step-{step:06d}"]
    make(tmp_path, config=config).run()
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3]


def test_validation_keeps_the_best_weights_and_stops_early(tmp_path):
    values = iter([0.3, 0.5, 0.2, 0.1, 0.0, 0.0])
    seen: list[dict] = []

    def validate(method):
        seen.append({n: p.detach().clone() for n, p in method.learned().items()})
        value = next(values)
        return {"one": value - 0.1, "two": value + 0.1}

    config = replace(CONFIG, max_steps=6, episodes_per_step=1, eval_steps=1, early_stopping_patience=2)
    trainer = make(tmp_path, config=config, validate=validate)
    trained = trainer.run()
    assert (trained.steps, trained.best_step, trained.best_value) == (4, 2, pytest.approx(0.5))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    validations = [row["validation"] - row["worst_task_validation"] for row in rows if "validation" in row]
    assert validations == pytest.approx([0.1] * 4)
    assert equal(weights(trainer), seen[1])
    assert equal(load_method(tmp_path / "best").learned(), seen[1])


@pytest.mark.slow
def test_training_teaches_to_read_labels_off_the_demonstrations(tmp_path):
    config = replace(
        CONFIG, max_steps=80, queries=8, arbitrary_labels=0.0, lr_scheduler_type="constant", learning_rate=0.01
    )
    trainer = make(tmp_path, config=config, weights="full")
    losses = [trainer.take_step()["loss"] for _ in range(config.max_steps)]
    assert losses[0] == pytest.approx(math.log(2), abs=0.05)  # two options, of which it knows nothing
    assert sum(losses[-5:]) / 5 < 0.6 * losses[0]


def test_methods_that_do_not_learn_are_refused(tmp_path):
    with pytest.raises(UserError, match="majority is not meta-trained"):
        make(tmp_path, "majority", weights="frozen")


def test_no_task_to_serve_is_one_clear_error(tmp_path):
    config = MethodConfig("protonet", {}, tiny_config(weights="frozen"), PromptFormat())
    with pytest.raises(UserError, match=r"that protonet serves; found 1 task \(choice: options of each example's own"):
        Trainer(config.build(), config, [choice_task()], CONFIG, tmp_path, progress=False)


def test_a_loss_that_is_not_finite_stops_the_run_before_the_step(tmp_path):
    trainer = make(tmp_path)
    with torch.no_grad():
        next(iter(trainer.method.learned().values())).fill_(float("nan"))
    with pytest.raises(UserError, match=r"the loss is nan at step 1.*Lower learning_rate"):
        trainer.take_step()


# -- checkpoints of methods --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind"), [("metaicl", "lora"), ("metaicl", "full"), ("protonet", "frozen")])
def test_a_saved_method_comes_back_with_the_same_answers(tmp_path, name, kind):
    from task_suites.episodes import EpisodeSampler

    trainer = make(tmp_path / "run", name, weights=kind)
    for _ in range(2):
        trainer.take_step()
    save_method(trainer.method, trainer.method_config, tmp_path / "best")
    again = load_method(tmp_path / "best")
    e = EpisodeSampler(0, 4, 4).draw(TASKS[0], "test", 0)
    queries = [q.hidden() for q in e.queries]
    scores = [m.adapt(e.task, e.support).scores(queries) for m in (trainer.method, again)]
    assert all((a == b).all() for a, b in zip(*scores, strict=True))


def test_a_lora_checkpoint_is_a_plain_peft_folder(tmp_path):
    from peft import PeftModel

    from metaicl.lm.tiny import tiny_model

    trainer = make(tmp_path / "run")
    trainer.take_step()
    save_method(trainer.method, trainer.method_config, tmp_path / "best")
    loaded = PeftModel.from_pretrained(tiny_model(), tmp_path / "best")
    found = {n: p for n, p in loaded.named_parameters() if "lora_" in n}
    assert equal({n: found[n] for n in found}, {n: p.detach() for n, p in trainer.method.backbone.trainable().items()})


def test_a_checkpoint_of_another_base_model_is_refused(tmp_path):
    trainer = make(tmp_path / "run")
    save_method(trainer.method, trainer.method_config, tmp_path / "best")
    card = json.loads((tmp_path / "best" / "method.json").read_text())
    card["base"]["hidden_size"] = 999
    (tmp_path / "best" / "method.json").write_text(json.dumps(card))
    with pytest.raises(UserError, match=r"trained on another model.*hidden_size 32.*hidden_size 999"):
        load_method(tmp_path / "best")


def test_half_written_checkpoints_are_refused(tmp_path):
    trainer = make(tmp_path / "run")
    save_method(trainer.method, trainer.method_config, tmp_path / "best")
    weights_file = tmp_path / "best" / "adapter_model.safetensors"
    weights_file.write_bytes(weights_file.read_bytes()[:100])
    with pytest.raises(UserError, match="incomplete or damaged"):
        load_method(tmp_path / "best")
    (tmp_path / "best" / "method.json").write_text("{")
    with pytest.raises(UserError, match="not a saved method"):
        read_card(tmp_path / "best")


def test_a_full_disk_while_saving_leaves_the_old_folder_and_no_half_one(tmp_path):
    target = tmp_path / "best"
    with whole_folder(target) as scratch:
        (scratch / "a").write_text("old")
    with pytest.raises(UserError, match=r"saving failed: .*No space left.*Free space"), whole_folder(target) as scratch:
        (scratch / "a").write_text("new")
        raise OSError(28, "No space left on device")
    assert (target / "a").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["best"]


@pytest.fixture
def full_disk(tmp_path):
    """A file system of 64 KiB."""
    with small_disk(tmp_path / "small", "64k") as place:
        yield place


def test_a_disk_that_fills_up_during_a_checkpoint_is_one_clear_error(tmp_path, full_disk):
    trainer = make(tmp_path / "run", lora_r=32)
    trainer.take_step()
    with pytest.raises(UserError, match=r"saving failed: .*Free space"):
        save_method(trainer.method, trainer.method_config, full_disk / "best")
    trainer.checkpoints.run_dir = full_disk
    with pytest.raises(UserError, match=r"saving failed: .*Free space"):
        trainer.save_checkpoint()
    assert not [p for p in full_disk.rglob("*") if p.is_file()]


TWO_PROCESSES = """
import sys, torch, json
torch.set_num_threads(1)
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from training import CONFIG, make
trainer = make(Path(sys.argv[1]) / "run", "ict")  # Adam magnifies the rounding of small gradients
world = trainer.accelerator.num_processes
losses = [trainer.take_step()["loss"] for _ in range(2)]
trainer.save_checkpoint()
losses.append(trainer.take_step()["loss"])
if trainer.accelerator.is_main_process:
    values = {n: p.detach() for n, p in trainer.method.learned().items()}
    torch.save({"losses": losses, "world": world, "weights": values}, Path(sys.argv[1]) / "out.pt")
trainer.accelerator.wait_for_everyone()
trainer.accelerator.end_training()  # gloo's threads abort a process that leaves with its group open
"""


@pytest.mark.slow
def test_two_processes_take_the_same_steps_as_one(tmp_path):
    launch_two(TWO_PROCESSES, tmp_path, timeout=300)
    two = torch.load(tmp_path / "out.pt")
    one = make(tmp_path / "one", "ict")
    losses = [one.take_step()["loss"] for _ in range(3)]
    assert two["world"] == 2
    assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-000002"]
    assert two["losses"] == pytest.approx(losses, rel=1e-5)
    assert equal(weights(one), two["weights"], 1e-5)


def test_the_last_weights_are_the_mean_over_the_last_steps(tmp_path):
    config = replace(CONFIG, max_steps=4, episodes_per_step=1, weight_averaging=0.5)
    stepwise = make(tmp_path / "a", config=config)
    seen = []
    for _ in range(4):
        stepwise.take_step()
        seen.append(weights(stepwise))
    whole = make(tmp_path / "b", config=config)
    whole.run()
    assert equal(weights(whole), {n: (seen[2][n] + seen[3][n]) / 2 for n in seen[0]}, 1e-6)
    last = make(tmp_path / "c", config=replace(config, weight_averaging=0.0))
    last.run()
    assert equal(weights(last), seen[3])


def test_each_validation_says_in_points_which_weights_it_is_of(tmp_path, caplog):
    caplog.set_level("INFO", logger="metaicl")
    config = replace(CONFIG, max_steps=2, eval_steps=2, weight_averaging=0.5)
    make(tmp_path, config=config, validate=lambda method: {"easy": 0.75, "hard": 0.25}).run()
    said = [message for message in caplog.messages if message.startswith("validation")]
    assert said == [
        "validation at step 2: 50.0 points, worst task hard: 25.0",
        "validation of the averaged weights, after step 2: 50.0 points, worst task hard: 25.0",
    ]
