"""A meta-training that has ended, by its folder."""

from __future__ import annotations

import os

import pytest
from training import make

import metaicl
from metaicl.training.finished import Run
from metaicl.training.identity import Finished, RunRecord
from task_suites.core.errors import UserError


def test_a_folder_without_a_training_is_no_run(tmp_path):
    with pytest.raises(UserError, match="not a training"):
        _ = metaicl.Run(tmp_path).identity


def test_a_run_stands_for_its_folder_and_equals_another_of_the_same_folder(tmp_path):
    run = Run(tmp_path / "run")
    assert os.fspath(run) == str(tmp_path / "run")
    assert run == Run(tmp_path / "run") != Run(tmp_path)


def test_identity_and_end_are_those_of_the_record(tmp_path):
    written = RunRecord({"max_steps": 3}, {}, {}, {}, Finished(3, 2, 0.5, 1.25))
    written.write(tmp_path)
    assert Run(tmp_path).identity == {"max_steps": 3}
    assert Run(tmp_path).record.finished == Finished(3, 2, 0.5, 1.25)


def test_opening_gives_the_weights_that_were_best(tmp_path):
    trainer = make(tmp_path)
    trainer.run()
    learned, opened = trainer.method.learned(), Run(tmp_path).open().learned()
    assert opened.keys() == learned.keys()
    assert all((opened[name] == p).all() for name, p in learned.items())


def test_a_run_without_weights_is_refused_with_what_is_missing(tmp_path):
    with pytest.raises(UserError, match="best"):
        Run(tmp_path).open()
