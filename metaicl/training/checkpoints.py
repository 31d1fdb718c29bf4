"""The checkpoints of a training: each is written whole and sealed by hashes, and only the newest is kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metaicl.training.folders import recover, whole_folder
from metaicl.training.seals import check_seal, seal
from metaicl.training.state import State, write

if TYPE_CHECKING:
    from accelerate import Accelerator

METRICS = "metrics.jsonl"  # in a training's folder and in each checkpoint
COUNTS = "trainer.json"  # in a checkpoint: what the loop had counted


class Checkpoints:
    """The checkpoints in a training's folder.

    Args:
        run_dir: the training's folder.
        accelerator: the main one of its processes writes.
    """

    def __init__(self, run_dir: Path, accelerator: Accelerator):
        self.run_dir, self.accelerator = run_dir, accelerator
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[None] | None = None

    @property
    def folder(self) -> Path:
        """Where the checkpoints lie."""
        return self.run_dir / "checkpoints"

    def save(self, step: int, counts: Mapping[str, Any], now: State) -> None:
        """Begin to write the checkpoint of a step; the training continues meanwhile. It is written whole, then the
        older ones are deleted.

        Args:
            step: the number of steps that have been taken.
            counts: what the loop has counted.
            now: a copy of the state after that step.

        Raises:
            UserError: the checkpoint before could not be written.
        """
        self.finish()
        if not self.accelerator.is_main_process:
            return
        logged = self.run_dir / METRICS
        text = logged.read_text(encoding="utf-8") if logged.exists() else ""
        self._writing = self._writer.submit(self._write, step, counts, now, text)

    def finish(self) -> None:
        """Wait until the checkpoint that is being written lies whole.

        Raises:
            UserError: it could not be written.
        """
        writing, self._writing = self._writing, None
        if writing:
            writing.result()

    def _write(self, step: int, counts: Mapping[str, Any], now: State, metrics: str) -> None:
        with whole_folder(self.folder / f"step-{step:06d}") as scratch:
            write(now, scratch)
            (scratch / METRICS).write_text(metrics, encoding="utf-8")
            (scratch / COUNTS).write_text(json.dumps(counts) + "\n")
            seal(scratch)
        self._delete_older()

    def tidy(self) -> None:
        """Finish or undo what a killed process was saving."""
        recover(self.run_dir / "best")
        for left_over in self.folder.glob(".step-*"):
            recover(left_over.with_name(left_over.stem.removeprefix(".")))
        self._delete_older()

    def _delete_older(self) -> None:
        newest = checkpoints_in(self.run_dir)[-1:]
        for folder in self.folder.glob("step-*"):
            if folder not in newest and step_of(folder) is not None:
                shutil.rmtree(folder)


def checkpoints_in(run_dir: Path) -> list[Path]:
    """Return the whole checkpoints in a training's folder, the newest last; folders of other names are the user's."""
    found = [path.parent for path in (run_dir / "checkpoints").glob(f"step-*/{COUNTS}")]
    return sorted((folder for folder in found if step_of(folder) is not None), key=lambda folder: step_of(folder) or 0)


def sound_checkpoint(run_dir: Path) -> Path | None:
    """Return the newest checkpoint in a training's folder; None where there is none.

    Raises:
        UserError: a file of it is missing or changed.
    """
    newest = next(reversed(checkpoints_in(run_dir)), None)
    if newest:
        check_seal(newest, f"Delete {newest} and give the same command, which begins again.")
    return newest


def step_of(checkpoint: Path) -> int | None:
    """Return the step of a checkpoint's folder by its name; None where the name is not one of ours."""
    digits = checkpoint.name.removeprefix("step-")
    return int(digits) if digits.isascii() and digits.isdigit() else None


def counts_of(checkpoint: Path) -> dict[str, Any]:
    """Return what the loop had counted at a checkpoint."""
    return json.loads((checkpoint / COUNTS).read_text())  # type: ignore[no-any-return]
