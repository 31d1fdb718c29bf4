"""The processes of a launch: each has a share of every step, and of the model where it was launched to."""

from __future__ import annotations

import os

import pytest
from training import CONFIG, make

from metaicl.training import launch
from metaicl.training.sharding import VARIABLE
from task_suites.core.errors import UserError


class Launched:
    """What stands for an accelerator: it notes with what it was made, and what it saw of the environment."""

    num_processes = 2

    def __init__(self, **given: object):
        self.given, self.saw = given, os.environ.get(VARIABLE)


def test_episodes_that_do_not_share_out_evenly_are_refused(tmp_path, monkeypatch):
    from accelerate import Accelerator

    monkeypatch.setattr(Accelerator, "num_processes", property(lambda self: 3))
    with pytest.raises(UserError, match=r"not a multiple of the number of processes.*4 episodes, 3 processes"):
        make(tmp_path)


@pytest.mark.parametrize(("said", "processes", "shared"), [("true", 2, True), ("true", 1, False), (None, 2, False)])
def test_a_model_is_shared_by_several_processes_that_were_launched_to_and_not_by_accelerate_itself(
    monkeypatch, said, processes, shared
):
    monkeypatch.delenv(VARIABLE, raising=False)
    if said:
        monkeypatch.setenv(VARIABLE, said)
        monkeypatch.setenv("FSDP_VERSION", "2")
    monkeypatch.setattr("accelerate.Accelerator", Launched)
    monkeypatch.setattr(Launched, "num_processes", processes)
    made, to_share = launch.make_accelerator(True, CONFIG)
    assert to_share is shared
    assert made.saw is None and os.environ.get(VARIABLE) == said  # hidden for the while, and there again
    assert made.given["cpu"] is True
