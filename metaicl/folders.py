"""Folders that are replaced whole, so that a process killed at any moment leaves a whole one.

A folder cannot be put in the place of another in one step. `whole_folder` therefore leaves a trail of fixed names:

    NAME        the folder
    .NAME.new   the one being written; worth nothing until the block has ended
    .NAME.old   the one that was there, while the new one takes its place

Killed between the two renames, NAME is missing and .NAME.old is whole. `recover` then puts that one back.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from task_suites.errors import UserError


def interrupted(target: Path) -> bool:
    """Whether a save of `target` was killed at the moment when the folder itself was out of its place."""
    return not target.exists() and _old(target).is_dir()


def recover(target: Path) -> None:
    """Put things right after a save of `target` that was killed: the folder is whole again, and no other is beside it.

    Only the process that saves into `target` may call this.
    """
    old = _old(target)
    if interrupted(target):
        old.rename(target)
    for left_over in (old, _new(target)):
        shutil.rmtree(left_over, ignore_errors=True)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A new folder that takes the place of `target` when the block ends well, and vanishes when it does not.

    Raises:
        UserError: the disk is full or the place is not writable.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    recover(target)
    new, old = _new(target), _old(target)
    try:
        new.mkdir()
        yield new
        if target.exists():
            target.rename(old)
        new.rename(target)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors have their own for a full disk
        raise UserError(
            f"saving failed: {error}", where=target, fix="Free space or choose another output folder."
        ) from None
    finally:
        recover(target)


def set_aside(folder: Path) -> Path:
    """Rename a folder to the first free name of NAME.earlier-1, NAME.earlier-2, ... and return its new place."""
    number = 1
    while (place := folder.with_name(f"{folder.name}.earlier-{number}")).exists():
        number += 1
    folder.rename(place)
    return place


def _new(target: Path) -> Path:
    return target.with_name(f".{target.name}.new")


def _old(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")
