"""Weights of tasks that are learned with the model: group DRO."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
import yaml
from helpers import launch_two, write_task
from training import CONFIG, TASKS, equal, make, weights

from metaicl.cli.main import main
from metaicl.cli.run_lines import shown
from metaicl.training.group_dro import GroupDRO
from metaicl.training.identity import read_record
from metaicl.training.rows import Rows
from metaicl.training.step_episodes import training_episodes
from task_suites.core.errors import UserError

DRO = replace(CONFIG, mixing="group_dro", mixing_step_size=0.5)


def test_one_update_is_the_closed_form_of_exponentiated_gradient():
    learned = GroupDRO("cab", 0.5)
    assert learned.factors() == {"a": 1.0, "b": 1.0, "c": 1.0}
    learned.update([("a", 6.0, 3.0), ("b", 4.0, 4.0), ("a", 2.0, 1.0)])  # mean losses 2 and 1; none of c
    raw = {"a": math.exp(0.5 * 2), "b": math.exp(0.5 * 1), "c": 1.0}
    expected = {name: value / sum(raw.values()) for name, value in raw.items()}
    assert learned.weights() == pytest.approx(expected, abs=1e-15)
    learned.update([("c", 3.0, 1.0)])
    raw["c"] = math.exp(0.5 * 3)
    expected = {name: value / sum(raw.values()) for name, value in raw.items()}
    assert learned.weights() == pytest.approx(expected, abs=1e-15)
    assert learned.factors() == pytest.approx({name: 3 * value for name, value in expected.items()}, abs=1e-15)
    assert math.fsum(learned.weights().values()) == pytest.approx(1, abs=1e-15)


def test_large_losses_overflow_nothing():
    learned = GroupDRO("ab", 10.0)
    learned.update([("a", 1e4, 1.0)])
    assert learned.weights() == {"a": 1.0, "b": 0.0}


def test_a_step_size_of_zero_takes_the_steps_of_uniform_mixing(tmp_path):
    one = replace(CONFIG, episodes_per_step=1)
    even, learned = (
        make(tmp_path / name, config=replace(one, **changes))
        for name, changes in {"even": {}, "learned": {"mixing": "group_dro", "mixing_step_size": 0.0}}.items()
    )
    for _ in range(3):
        assert even.take_step() == learned.take_step()
    assert equal(weights(even), weights(learned))
    assert learned.task_weights and set(learned.task_weights.weights().values()) == {1 / len(TASKS)}


def test_the_gradients_are_those_of_the_losses_times_their_tasks_factors(tmp_path):
    """With weights of 3 to 1 it is as if the first episode were there three times, up to a common scale."""
    trainer = make(tmp_path, config=replace(DRO, episodes_per_step=2, max_grad_norm=1e9))
    first, second = training_episodes(trainer.tasks, trainer.config, 0)
    names = [episode.key[1] for episode in (first, second)]
    trainer.task_weights.load({**trainer.task_weights.exponents, names[0]: math.log(3)})
    factors = [trainer.task_weights.factors()[name] for name in names]
    assert factors[0] == pytest.approx(3 * factors[1])
    found = trainer.rows.backward_each([first, second], factors)
    gradients = {name: p.grad.clone() for name, p in trainer.method.learned().items()}
    trainer.method.zero_grad()
    plain = trainer.rows.backward([first, first, first, second])
    assert (3 * found[0] + found[1]).tolist() == pytest.approx(plain.tolist(), rel=1e-6)
    for name, p in trainer.method.learned().items():
        assert torch.allclose(gradients[name], p.grad * factors[1], atol=1e-6), name


def test_the_harder_of_two_tasks_gets_more_weight_and_the_record_holds_the_weights(tmp_path):
    """All answers of one task are the same, those of the other follow from nothing."""
    suite = tmp_path / "suite"
    easy = [{"input": f"thing {i}", "output": "good"} for i in range(40)]
    hard = [{"input": f"item {i * 37 % 101}", "output": ["good", "bad"][i * i * 7 % 11 % 2]} for i in range(40)]
    write_task(suite, "easy", train=easy, test=easy[:8])
    write_task(suite, "hard", train=hard, test=hard[:8])
    (suite / "suite.yaml").write_text(yaml.safe_dump({"name": "two", "splits": {"meta_train": ["easy", "hard"]}}))
    command = ["train", "--suite", str(suite), "--model", "tiny-random", "--dtype", "float32", "--device", "cpu"]
    command += ["--no-progress", "--output_dir", str(tmp_path / "run"), "--arbitrary_labels", "0"]
    command += ["--max_steps", "40", "--k", "4", "--queries", "8", "--learning_rate", "0.01", "--logging_steps", "10"]
    main([*command, "--mixing", "group_dro", "--mixing_step_size", "0.5"])
    record = read_record(tmp_path / "run")
    learned = record.finished.mixing_weights
    assert learned["hard"] > 0.6 and learned["easy"] == pytest.approx(1 - learned["hard"])
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [{name: row[f"weight/{name}"] for name in learned} for row in rows][-1] == learned
    assert rows[0]["weight/hard"] < rows[-1]["weight/hard"]
    assert record.identity["mixing_step_size"] == 0.5
    said = [line for line in shown(tmp_path / "run") if "largest learned weights" in line]
    assert said == [f"  largest learned weights: hard {learned['hard']:.3f}, easy {learned['easy']:.3f}"]


def test_a_resumed_training_has_the_weights_of_an_uninterrupted_one(tmp_path):
    config = replace(DRO, save_steps=2)
    straight, first = make(tmp_path / "straight", config=config), make(tmp_path / "cut", config=config)
    for _ in range(2):
        first.take_step()
    first.save_checkpoint()
    straight.run()
    again = make(tmp_path / "cut", config=config)
    again.run()
    assert equal(weights(straight), weights(again))
    assert straight.task_weights.exponents == again.task_weights.exponents
    assert len(set(again.task_weights.exponents.values())) > 1


TWO_PROCESSES = """
import sys, torch
torch.set_num_threads(1)
sys.path[:0] = sys.argv[2:]
from dataclasses import replace
from pathlib import Path
from training import CONFIG, make
config = replace(CONFIG, mixing="group_dro", mixing_step_size=0.5)
trainer = make(Path(sys.argv[1]) / "run", "ict", config)  # Adam magnifies the rounding of small gradients
losses = [trainer.take_step()["loss"] for _ in range(4)]
if trainer.accelerator.is_main_process:
    values = {n: p.detach() for n, p in trainer.method.learned().items()}
    found = {"losses": losses, "weights": values, "exponents": trainer.task_weights.exponents}
    torch.save({**found, "world": trainer.accelerator.num_processes}, Path(sys.argv[1]) / "out.pt")
trainer.accelerator.wait_for_everyone()
trainer.accelerator.end_training()
"""


@pytest.mark.slow
def test_two_processes_learn_the_weights_of_one(tmp_path):
    launch_two(TWO_PROCESSES, tmp_path, timeout=300)
    two = torch.load(tmp_path / "out.pt")
    one = make(tmp_path / "one", "ict", DRO)
    assert [one.take_step()["loss"] for _ in range(4)] == pytest.approx(two["losses"], rel=1e-5)
    assert two["world"] == 2 and equal(weights(one), two["weights"], 1e-5)
    assert one.task_weights.exponents == pytest.approx(two["exponents"], rel=1e-6)
    assert len(set(two["exponents"].values())) > 1


def test_an_episode_that_finds_no_memory_is_a_clear_error(tmp_path, monkeypatch):
    trainer = make(tmp_path, config=DRO)

    def without_memory(episodes):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(trainer.method, "forward", without_memory)
    assert isinstance(trainer.rows, Rows)
    with pytest.raises(UserError, match=r"no memory for .* one episode; found one of \d+ tokens"):
        trainer.take_step()
