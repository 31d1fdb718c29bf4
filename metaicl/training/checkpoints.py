"""The checkpoints of a training: each is written whole and sealed by hashes, and only the newest is kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metaicl.training.folders import recover, whole_folder
from metaicl.training.seals import check_seal, seal

if TYPE_CHECKING:
    from accelerate import Accelerator

METRICS = "metrics.jsonl"  # in a training's folder and in each checkpoint
COUNTS = "trainer.json"  # in a checkpoint: what the loop had counted


class Checkpoints:
    """The checkpoints in a training's folder.

    Args:
        run_dir: the training's folder.
        accelerator: saves the state of models and optimisers. All of its processes take part in the saving.
    """

    def __init__(self, run_dir: Path, accelerator: Accelerator):
        self.run_dir, self.accelerator = run_dir, accelerator

    @property
    def folder(self) -> Path:
        """Where the checkpoints lie."""
        return self.run_dir / "checkpoints"

    def save(self, step: int, counts: Mapping[str, Any]) -> None:
        """Write the checkpoint of a step whole, then delete the older ones.

        Args:
            step: the number of steps that have been taken.
            counts: what the loop has counted.
        """
        from accelerate.utils import broadcast_object_list

        main = self.accelerator.is_main_process
        with whole_folder(self.folder / f"step-{step:06d}") if main else nullcontext() as scratch:
            scratch = broadcast_object_list([str(scratch)])[0]
            self.accelerator.save_state(scratch)
            if main:
                logged = self.run_dir / METRICS
                text = logged.read_text(encoding="utf-8") if logged.exists() else ""
                (Path(scratch) / METRICS).write_text(text, encoding="utf-8")
                (Path(scratch) / COUNTS).write_text(json.dumps(counts) + "\n")
            self.accelerator.wait_for_everyone()
            if main:
                seal(Path(scratch))
        if main:
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
