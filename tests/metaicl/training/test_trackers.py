"""A training reports its configuration and metrics to trackers; a continued one reports to the same run of each."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from toys import toy_suite
from training import CONFIG, TASKS, make

from metaicl.training.config import TrainerConfig, TrainRun
from metaicl.training.run import train_run
from metaicl.training.trackers import RUNS, check_trackers
from metaicl.training.trainer import Trainer
from task_suites.core.errors import UserError

STEPS = replace(CONFIG, max_steps=3, episodes_per_step=1, save_steps=1)


def reporting(folder: Path, *names: str, steps: int | None = None, config: TrainerConfig = STEPS) -> None:
    """Train in a folder; `steps` ends the training as a kill would, after as many."""
    made = make(folder, config=config)
    trainer = Trainer(
        made.method,
        made.method_config,
        TASKS,
        config,
        folder,
        lambda method: {"one": 0.25},
        progress=False,
        report_to=names,
    )
    take = trainer.take_step

    def taken() -> dict[str, float]:
        if trainer.step == steps:
            trainer.checkpoints.finish()
            raise KeyboardInterrupt
        return take()

    trainer.take_step = taken  # type: ignore[method-assign]
    trainer.run()


def written(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the numbers of metrics.jsonl by name, with their steps."""
    found: dict[str, list[tuple[int, float]]] = {}
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        step = row.pop("step")
        for name, value in row.items():
            found.setdefault(name, []).append((step, value))
    return found


def test_tensorboard_gets_what_metrics_jsonl_gets_also_after_a_resume(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = replace(STEPS, save_steps=2, eval_steps=3)
    with pytest.raises(KeyboardInterrupt):
        reporting(tmp_path, "tensorboard", steps=2, config=replace(config, logging_steps=1))
    reporting(tmp_path, "tensorboard", "tensorboard", config=config)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    expected = written(tmp_path)
    assert [step for step, _ in expected["loss"]] == [1, 2, 3]
    assert set(expected) == set(events.Tags()["scalars"]) > {"loss", "learning_rate", "grad_norm", "validation"}
    for name, points in expected.items():
        values = [(event.step, event.value) for event in events.Scalars(name)]
        assert values == [(step, pytest.approx(value, rel=1e-6)) for step, value in points], name
    [stored] = (tmp_path / "tensorboard").glob("*/hparams.yml")
    options = yaml.safe_load(stored.read_text())
    assert options["max_steps"] == 3 and options["mixing_weights"] == "{}"
    assert json.loads((tmp_path / RUNS).read_text()) == {"tensorboard": "tensorboard"}


def test_nothing_is_reported_where_no_tracker_is_named(tmp_path):
    reporting(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.jsonl", "checkpoints", "best"}


def test_a_tracker_that_is_not_installed_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("accelerate.tracking._available_trackers", ["tensorboard"])
    check_trackers(["tensorboard"])
    run = TrainRun(output_dir=str(tmp_path / "run"), report_to=["wandb", "tensorboard", "mlflow"])
    with pytest.raises(UserError, match=r"wandb and mlflow.*not installed.*pip install \"metaicl\[wandb,mlflow\]\""):
        train_run(run, lambda tasks, config: None, suite=toy_suite())
    assert not list(tmp_path.iterdir())


def test_a_tracker_that_cannot_start_is_one_clear_error_before_the_first_step(tmp_path):
    (tmp_path / "tensorboard").write_text("in the way")
    with pytest.raises(UserError, match=r"report_to \(tensorboard\) cannot start.*leave it out"):
        reporting(tmp_path, "tensorboard")
    assert not (tmp_path / "checkpoints").exists() and not (tmp_path / "metrics.jsonl").read_text()


def test_wandb_continues_the_run_that_it_has(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    reported = continued(tmp_path, "wandb")
    files = list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    assert len(files) == 2 and all(file.stem == f"run-{reported}" for file in files)


def test_mlflow_continues_the_run_that_it_has(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    reported = continued(tmp_path, "mlflow")
    [run] = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert run.info.run_id == reported and run.data.params["max_steps"] == "3"
    history = mlflow.MlflowClient().get_metric_history(reported, "loss")
    assert dict.fromkeys((point.step, point.value) for point in history) == dict.fromkeys(written(tmp_path)["loss"])


def test_trackio_continues_the_run_that_it_has(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    trackio = pytest.importorskip("trackio", reason="trackio is not installed")
    reported = continued(tmp_path, "trackio")
    [run] = trackio.Api().runs("metaicl")
    assert run.name == reported


def continued(folder: Path, name: str) -> str:
    """Return the tracker's run to which both parts of an interrupted training were reported."""
    with pytest.raises(KeyboardInterrupt):
        reporting(folder, name, steps=2)
    before = json.loads((folder / RUNS).read_text())
    reporting(folder, name)
    assert json.loads((folder / RUNS).read_text()) == before
    return str(before[name])
