"""Experiment trackers that a training reports to, by those of Accelerate: each line of metrics.jsonl goes there too.

A continued training reports to the same run of the tracker. `RUNS` in the training's folder holds which one that is:
the id of a W&B or MLflow run, the name of a trackio run.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from task_suites.core.atomic import write_text
from task_suites.core.errors import UserError, counted
from task_suites.core.json_files import read_json

if TYPE_CHECKING:
    from accelerate import Accelerator
    from accelerate.tracking import GeneralTracker

RUNS = "trackers.json"
PROJECT = "metaicl"  # the project or experiment at W&B, MLflow and trackio; their environment variables may change it


def check_trackers(names: Sequence[str]) -> None:
    """Raise where the package of a tracker is not installed.

    Raises:
        UserError: names the package, and how to install it.
    """
    if not names:
        return
    from accelerate.tracking import get_available_trackers

    missing = [name for name in names if name not in [str(known) for known in get_available_trackers()]]
    if missing:
        raise UserError(
            f"report_to names {' and '.join(missing)}, but {'this is' if len(missing) == 1 else 'these are'} "
            "not installed",
            fix=f'Run: pip install "metaicl[{",".join(missing)}]", or leave it out of --report_to.',
        )


class Trackers:
    """What a training reports to; the main process does.

    Args:
        names: of `TrainRun.report_to`.
        run_dir: the training's folder. TensorBoard's files lie in its tensorboard/.
    """

    def __init__(self, names: Sequence[str], run_dir: Path, accelerator: Accelerator):
        self.names, self.run_dir, self.accelerator = list(dict.fromkeys(names)), run_dir, accelerator

    @contextmanager
    def reporting(self, step: int, config: Mapping[str, Any]) -> Iterator[None]:
        """Open each tracker where the training was reported before, or as a new run, which gets the configuration.
        They are closed when the block ends, however it ends.

        Args:
            step: the number of steps that have been taken. TensorBoard hides what an interrupted start logged after it.
            config: option -> its value.

        Raises:
            UserError: a tracker does not start, such as one that needs a login.
        """
        if self.names and self.accelerator.is_main_process:
            self._start(step, config)
        try:
            yield
        finally:
            for tracker in self.accelerator.trackers:
                tracker.finish()
            self.accelerator.trackers = []

    def _start(self, step: int, config: Mapping[str, Any]) -> None:
        path = self.run_dir / RUNS
        known: dict[str, str] = read_json(path) if path.is_file() else {}
        self.accelerator.log_with = [self._made(name, known.get(name), step) for name in self.names]
        try:
            self.accelerator.init_trackers(PROJECT)
        except Exception as error:  # each of these libraries has errors of its own
            what = f"{counted(len(self.names), 'tracker')} of report_to ({', '.join(self.names)}) cannot start: {error}"
            raise UserError(what, fix="Log in or name its server as its own pages say, or leave it out.") from None
        for tracker in self.accelerator.trackers:
            if tracker.name not in known:
                tracker.store_init_configuration(_flat(config))
        runs = {tracker.name: _run_of(tracker) for tracker in self.accelerator.trackers}
        write_text(path, json.dumps({**known, **runs}, indent=1) + "\n")

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Report a line of metrics."""
        self.accelerator.log(dict(values), step=step)

    def _made(self, name: str, run: str | None, step: int) -> GeneralTracker:
        """Return a tracker that is not started yet."""
        from accelerate import tracking

        run_name, new = self.run_dir.resolve().name, uuid.uuid4().hex[:8]
        if name == "tensorboard":
            return tracking.TensorBoardTracker(name, self.run_dir, purge_step=step + 1)
        if name == "wandb":
            settings = {"name": run_name, "id": run or new, "resume": "allow", "dir": str(self.run_dir)}
            return tracking.WandBTracker(PROJECT, **settings)
        if name == "mlflow":
            return tracking.MLflowTracker(PROJECT, run_id=run, run_name=None if run else run_name)
        return tracking.TrackioTracker(PROJECT, name=run or f"{run_name}-{new}", resume="allow")


def _run_of(tracker: GeneralTracker) -> str:
    """Return where a tracker that has started reports to."""
    if tracker.name == "mlflow":
        return str(tracker.tracker.info.run_id)
    if tracker.name == "wandb":
        return str(tracker.tracker.id)
    return str(tracker.init_kwargs["name"]) if tracker.name == "trackio" else tracker.name


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration as trackers take it: what is neither a number nor a text as JSON."""
    simple = (bool, int, float, str)
    return {
        name: value if isinstance(value, simple) else json.dumps(value, ensure_ascii=False, default=str)
        for name, value in config.items()
        if value is not None
    }
