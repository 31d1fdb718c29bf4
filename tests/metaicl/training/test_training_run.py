"""What a run records of itself and of the models it stands on, and what it refuses before anything is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from toys import toy_suite, toy_task

from metaicl.lm.config import BackboneConfig
from metaicl.training.checkpoint import CARD
from metaicl.training.config import TrainRun
from metaicl.training.identity import Training
from metaicl.training.run import (
    PACKAGES,
    check_base_model,
    check_data,
    duration,
    inherited_tasks,
    manifest,
    seen_tasks,
    train_run,
    unknown_training,
    write_config,
)
from task_suites.core.errors import UserError
from task_suites.provenance import data_record


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "0 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (60 * 89, "89 min"),
        (60 * 90, "1 h 30 min"),
        (3600 * 26 + 61, "26 h 01 min"),
        (60 * 119 + 40, "2 h 00 min"),
    ],
)
def test_a_duration_is_said_in_the_units_that_people_use(seconds, said):
    assert duration(seconds) == said


def test_a_method_that_is_not_meta_trained_is_refused_before_anything_is_written(tmp_path):
    run = TrainRun(output_dir=str(tmp_path / "run"), method="icl")
    with pytest.raises(UserError, match="icl is not meta-trained"):
        train_run(run, lambda tasks, config: None, suite=toy_suite())
    assert list(tmp_path.iterdir()) == []


def test_a_configuration_is_written_as_two_documents_of_which_the_second_says_what_it_ran_on(tmp_path):
    data = data_record([toy_task()])
    write_config(tmp_path / "new" / "config.yaml", {"suite": ("a", "b"), "folder": Path("x")}, data)
    config, about = yaml.safe_load_all((tmp_path / "new" / "config.yaml").read_text())
    assert config == {"suite": ["a", "b"], "folder": "x"}
    assert about["manifest"]["tasks"] == json.loads(json.dumps(data))
    assert set(about["manifest"]["versions"]) == set(PACKAGES)


def test_a_manifest_has_the_version_of_each_package_and_of_none_that_is_not_there(monkeypatch):
    monkeypatch.setattr("metaicl.training.run.PACKAGES", ("torch", "no-such-package"))
    found = manifest()
    assert found["versions"]["no-such-package"] == "not installed"
    assert found["versions"]["torch"][0].isdigit()
    assert found["auto"]["precision"] in ("bfloat16", "float32")


def test_a_task_that_changed_since_the_comparison_is_named(tmp_path):
    then, now = data_record([toy_task(), toy_task("other")]), data_record([toy_task(), toy_task("other", size=40)])
    check_data(tmp_path, now)  # nothing was recorded
    write_config(tmp_path / "config.yaml", {}, then)
    check_data(tmp_path, then)
    with pytest.raises(UserError, match="other") as error:
        check_data(tmp_path, now)
    assert "toy" not in str(error.value).replace(str(tmp_path), "")


def test_a_task_is_known_again_by_its_examples_whatever_its_name():
    learned = data_record([toy_task("toy"), toy_task("second")])
    now = data_record([replace(toy_task("toy"), name="renamed"), toy_task("third")])
    assert seen_tasks(Training({}, learned, learned), now) == ["renamed"]


def test_a_plain_model_inherits_no_tasks_and_one_of_ours_without_a_record_unknown_ones(tmp_path):
    assert inherited_tasks(TrainRun(backbone=BackboneConfig("tiny-random"))) == {}
    check_base_model("tiny-random", {})
    (tmp_path / CARD).write_text("{}")
    assert inherited_tasks(TrainRun(backbone=BackboneConfig(str(tmp_path)))) is None
    with pytest.raises(UserError, match=r"nothing says what the base model .* was trained on"):
        check_base_model(str(tmp_path), {})


def test_a_method_of_unknown_training_is_named_with_the_file_that_would_say(tmp_path):
    error = unknown_training("the methods a and b", tmp_path, "Train them again.")
    assert f"{tmp_path / CARD}" in str(error) and str(error).endswith("Train them again.")
