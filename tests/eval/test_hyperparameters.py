"""What a study chose: as a file that `metaicl train --config` takes, and read back by the method that it is for."""

from __future__ import annotations

import pytest

from eval.hyperparameters import FILE, Hyperparameters
from metaicl.cli.main import parse
from metaicl.training.config import TrainerConfig
from task_suites.core.errors import UserError

SETTINGS = {"learning_rate": 0.002, "options.inner_lr": 0.5}


def test_settings_part_into_options_of_the_method_and_of_the_training():
    chosen = Hyperparameters.of_settings(SETTINGS, {"inner_steps": 2, "inner_lr": 0.1})
    assert chosen == Hyperparameters({"inner_steps": 2, "inner_lr": 0.5}, {"learning_rate": 0.002})
    assert chosen.trainer(TrainerConfig(k=3)) == TrainerConfig(k=3, learning_rate=0.002)


def test_a_training_takes_the_file_as_its_configuration(tmp_path):
    Hyperparameters.of_settings(SETTINGS, {}).write(tmp_path / FILE, "fomaml")
    _, training = parse(["train", "--config", str(tmp_path / FILE)])
    assert (training.method, training.method_options) == ("fomaml", {"inner_lr": 0.5})
    assert training.trainer.learning_rate == 0.002


def test_the_file_comes_back_for_its_own_method_only(tmp_path):
    chosen = Hyperparameters.of_settings(SETTINGS, {})
    chosen.write(tmp_path / FILE, "fomaml")
    assert Hyperparameters.read(tmp_path / FILE, "fomaml") == chosen
    with pytest.raises(UserError, match="another method's; found fomaml; expected reptile"):
        Hyperparameters.read(tmp_path / FILE, "reptile")


@pytest.mark.parametrize("text", ["[1, 2]", "method: fomaml\nlearning_rat: 0.1"])
def test_another_file_is_refused(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(UserError, match="not a file of hyperparameters"):
        Hyperparameters.read(tmp_path / FILE, "fomaml")
