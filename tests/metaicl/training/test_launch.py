"""The processes of a launch: each has a share of every step, and of the model where it was launched to."""

from __future__ import annotations

import os

import pytest
from training import CONFIG, make

from metaicl.training import launch
from metaicl.training.engines.engine import Engine
from metaicl.training.engines.fsdp2 import FSDP2
from metaicl.training.engines.zero import Zero
from metaicl.training.launch import ENGINES
from task_suites.core.errors import UserError


class Launched:
    """What stands for an accelerator: it notes with what it was made, and what it saw of the environment."""

    num_processes = 2

    def __init__(self, **given: object):
        self.given, self.saw = given, ENGINES.keys() & os.environ.keys()


def test_episodes_that_do_not_share_out_evenly_are_refused(tmp_path, monkeypatch):
    from accelerate import Accelerator

    monkeypatch.setattr(Accelerator, "num_processes", property(lambda self: 3))
    with pytest.raises(UserError, match=r"not a multiple of the number of processes.*4 episodes, 3 processes"):
        make(tmp_path)


@pytest.mark.parametrize(
    ("variable", "processes", "engine"),
    [
        ("ACCELERATE_USE_FSDP", 2, FSDP2),
        ("ACCELERATE_USE_FSDP", 1, Engine),
        ("ACCELERATE_USE_DEEPSPEED", 2, Zero),
        (None, 2, Engine),
    ],
)
def test_several_processes_share_a_model_by_the_engine_of_their_launch_and_not_by_accelerate(
    monkeypatch, variable, processes, engine
):
    for one in ENGINES:
        monkeypatch.delenv(one, raising=False)
    if variable:
        monkeypatch.setenv(variable, "true")
        monkeypatch.setenv("FSDP_VERSION", "2")
    monkeypatch.setattr("accelerate.Accelerator", Launched)
    monkeypatch.setattr(Launched, "num_processes", processes)
    made, found = launch.joined(True, CONFIG)
    assert found is engine
    assert not made.saw and (not variable or os.environ[variable] == "true")  # hidden for the while, and there again
    assert made.given["cpu"] is True


def test_an_older_fsdp_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(UserError, match=r"found fsdp_version 1"):
        make(tmp_path)
    monkeypatch.setenv("FSDP_VERSION", "2")
    assert not make(tmp_path).engine.in_step  # one process has nothing to share
