"""The checkpoints of a training: each whole and sealed, the newest kept, and folders of other names untouched."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from training import make

from metaicl.training.checkpoints import COUNTS, Checkpoints, checkpoints_in, counts_of, sound_checkpoint, step_of
from metaicl.training.seals import seal
from task_suites.core.errors import UserError


def checkpoint(run_dir: Path, name: str, sealed: bool = True) -> Path:
    """A folder that looks like a checkpoint, of as many bytes as a test needs."""
    folder = run_dir / "checkpoints" / name
    folder.mkdir(parents=True)
    (folder / COUNTS).write_text(json.dumps({"step": name}))
    if sealed:
        seal(folder)
    return folder


def names(run_dir: Path) -> list[str]:
    return sorted(path.name for path in (run_dir / "checkpoints").iterdir())


@pytest.mark.parametrize("steps", [(999_999, 1_000_000), (9, 10)])
def test_the_newest_checkpoint_is_that_of_the_highest_step(tmp_path, steps):
    trainer = make(tmp_path)
    for trainer.step in steps:
        trainer.save_checkpoint()
    assert [p.name for p in checkpoints_in(trainer.run_dir)] == [f"step-{steps[1]:06d}"]


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("step-000007", 7),
        ("step-1234567", 1_234_567),
        ("step-7-copy", None),
        ("step-", None),
        ("step-²", None),
        ("best", None),
    ],
)
def test_the_step_of_a_folder_is_in_its_name_or_it_is_not_ours(name, step):
    assert step_of(Path(name)) == step


def test_tidying_keeps_the_newest_whole_checkpoint_and_what_is_the_users(tmp_path):
    for name in ("step-000002", "step-000010", "step-000004", "step-000010-copy", "notes"):
        checkpoint(tmp_path, name)
    (tmp_path / "checkpoints" / "step-000012").mkdir()  # not whole: nothing was counted
    Checkpoints(tmp_path, None).tidy()
    assert names(tmp_path) == ["notes", "step-000010", "step-000010-copy"]
    assert counts_of(checkpoints_in(tmp_path)[-1]) == {"step": "step-000010"}


def test_what_a_killed_process_was_saving_is_undone(tmp_path):
    whole = checkpoint(tmp_path, "step-000002")
    shutil.copytree(whole, whole.with_name(".step-000004.new"))
    Checkpoints(tmp_path, None).tidy()
    assert names(tmp_path) == ["step-000002"]


def test_a_checkpoint_is_sound_if_no_file_of_the_newest_changed(tmp_path):
    assert sound_checkpoint(tmp_path) is None
    checkpoint(tmp_path, "step-000002", sealed=False)  # an older one is not looked at
    newest = checkpoint(tmp_path, "step-000003")
    assert sound_checkpoint(tmp_path) == newest
    (newest / COUNTS).write_text("{}")
    with pytest.raises(UserError, match=r"Delete .*step-000003 and give the same command"):
        sound_checkpoint(tmp_path)
