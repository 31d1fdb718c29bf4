"""A training that is to stop, has no room on disk, or cannot take a step, loses nothing that was learned."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections import namedtuple
from dataclasses import replace

import pytest
import torch
from toys import toy_suite
from training import CONFIG, equal, make, weights

from metaicl.cli.main import main
from metaicl.training import trainer as outer_loop
from metaicl.training.checkpoints import checkpoints_in
from metaicl.training.guards import Interrupted, Signals
from metaicl.training.step_episodes import training_episodes
from metaicl.training.trainer import Trainer
from task_suites.core.errors import UserError

TASKS = toy_suite().split("meta_train")
Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def heeded():
    """Signals act as in a process of a terminal; one in the background of a script ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_signal_that_the_process_ignores_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signals = Signals()
    with signals.watched():
        os.kill(os.getpid(), signal.SIGINT)
    assert signals.number == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_training_after_a_whole_step_from_which_it_continues(tmp_path, monkeypatch, number, code):
    straight = make(tmp_path / "straight")
    straight.run()
    take = Trainer.take_step

    def signalled(self):
        if self.step == 1:
            os.kill(os.getpid(), number)
        return take(self)

    monkeypatch.setattr(Trainer, "take_step", signalled)
    before = signal.getsignal(number)
    stopped = make(tmp_path / "stopped")
    with pytest.raises(Interrupted, match=r"after step 2; the same command continues") as error:
        stopped.run()
    assert error.value.code == code and signal.getsignal(number) is before
    assert [folder.name for folder in checkpoints_in(tmp_path / "stopped")] == ["step-000002"]
    monkeypatch.undo()
    again = make(tmp_path / "stopped")
    again.run()
    assert equal(weights(straight), weights(again))


def test_a_second_signal_acts_at_once():
    signals = Signals()
    with pytest.raises(KeyboardInterrupt), signals.watched():
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.number == signal.SIGINT
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("it continued")


def test_the_command_leaves_with_the_signals_own_status(tmp_path, monkeypatch, capsys):
    def stopped(config):
        raise Interrupted(signal.SIGTERM, 7)

    monkeypatch.setattr("metaicl.cli.functions.run_training", stopped)
    monkeypatch.setattr("metaicl.cli.train.run_training", stopped)
    words = ["train", "--suite", "toys:toy_suite", "--model", "tiny-random", "--output_dir", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as status:
        main(words)
    assert status.value.code == 143
    assert "interrupted: SIGTERM after step 7; the same command continues from there" in capsys.readouterr().err


def test_a_full_disk_is_found_before_a_checkpoint_is_begun_and_the_last_one_stays(tmp_path, monkeypatch):
    trainer = make(tmp_path, config=replace(CONFIG, save_steps=2))
    usage = shutil.disk_usage(tmp_path)
    free = iter([usage, Usage(usage.total, usage.used, 1000)])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: next(free))
    with pytest.raises(UserError, match=r"no room for a checkpoint.*0 MB free.*the checkpoint before"):
        trainer.run()
    assert [folder.name for folder in checkpoints_in(tmp_path)] == ["step-000002"]
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["step-000002"]


@pytest.mark.parametrize("what", ["loss", "gradient norm"])
def test_a_step_that_is_not_finite_is_not_taken_and_its_episodes_are_written(tmp_path, monkeypatch, what):
    trainer = make(tmp_path)
    trainer.take_step()
    learned = weights(trainer)
    if what == "loss":
        forward = trainer.method.forward
        monkeypatch.setattr(trainer.method, "forward", lambda e: (forward(e)[0] * float("nan"), torch.tensor(1.0)))
    else:
        next(iter(trainer.method.learned().values())).register_hook(lambda grad: grad * float("inf"))
    with pytest.raises(UserError, match=rf"the {what} is (nan|inf) at step 2, which was not taken.*failed-step-000002"):
        trainer.take_step()
    assert equal(learned, weights(trainer)) and trainer.step == 1
    written = json.loads((tmp_path / "failed-step-000002.json").read_text(encoding="utf-8"))
    drawn = training_episodes(TASKS, CONFIG, 1)
    assert [e["task"] for e in written["episodes"]] == [e.task.name for e in drawn]
    assert [q["input"] for q in written["episodes"][0]["queries"]] == [q.input for q in drawn[0].queries]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_signal_to_one_process_stops_all(monkeypatch, tmp_path):
    """The flag travels with the sums of a step: another process' number is enough."""
    trainer = make(tmp_path)
    reduce = trainer.accelerator.reduce

    def with_a_signalled_peer(sums, how):
        found = reduce(sums, how)
        found[2] += signal.SIGTERM
        return found

    monkeypatch.setattr(trainer.accelerator, "reduce", with_a_signalled_peer)
    with pytest.raises(Interrupted) as error:
        trainer.run()
    assert error.value.code == 143 and trainer.step == 1
    assert outer_loop.Interrupted is Interrupted
