"""Folders that are replaced whole, so that a process killed at any moment leaves a whole one.

A folder cannot replace another in one step. `whole_folder` therefore leaves a trail of fixed names:

    NAME        the folder
    .NAME.new   the one being written; worth nothing until the block has ended
    .NAME.old   the one that was there, while the new one replaces it

Killed between the two renames, NAME is missing and .NAME.old is whole. `recover` then puts that one back.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from task_suites.core.atomic import share
from task_suites.core.errors import UserError


def interrupted(target: Path) -> bool:
    """Return whether a save of `target` was killed at the moment when the folder itself had been renamed."""
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
    """Yield a new folder that replaces `target` when the block ends well, and vanishes when it does not.

    Raises:
        UserError: the disk is full or the path is not writable.
    """
    new, old = _new(target), _old(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        recover(target)
        new.mkdir()
        yield new
        share(new)
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
    """Rename a folder to the first free name of NAME.earlier-1, NAME.earlier-2, ... and return its new path."""
    number = 1
    while (place := folder.with_name(f"{folder.name}.earlier-{number}")).exists():
        number += 1
    folder.rename(place)
    return place


class HasFolder(Protocol):
    """A run's configuration."""

    @property
    def folder(self) -> Path:
        """Where the run writes."""


Run = TypeVar("Run", bound=HasFolder)
Rest = ParamSpec("Rest")
Result = TypeVar("Result")


def one_process(command: Callable[Concatenate[Run, Rest], Result]) -> Callable[Concatenate[Run, Rest], Result]:
    """Return a command that holds its run's folder while it works: two processes that write one run spoil it.

    In a distributed run the main process holds the folder.
    """

    @wraps(command)
    def holding(run: Run, *args: Rest.args, **kwargs: Rest.kwargs) -> Result:
        if os.environ.get("RANK", "0") != "0":
            return command(run, *args, **kwargs)
        with held(run.folder):
            return command(run, *args, **kwargs)

    return holding


@contextmanager
def held(folder: Path, what: str = "folder", option: str = "--output_dir") -> Iterator[None]:
    """Keep other processes from writing into a folder or a file, by a lock beside it (.NAME.lock) that ends with its
    process.

    Args:
        what: "folder" or "file".
        option: the option that gives it.

    Raises:
        UserError: another process holds it, or it is no name or cannot be written.
    """
    if not folder.name:
        raise UserError(f"{option} names no {what}", found=repr(str(folder)), fix="Give a name of its own.")
    new = [parent for parent in folder.parents if not parent.exists()]  # the innermost first
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.with_name(f".{folder.name}.lock"), timeout=0)
        lock.acquire()
    except Timeout:
        raise UserError(
            f"another process is writing into this {what}",
            where=folder,
            fix=f"Wait until it has ended, or choose another {option}.",
        ) from None
    except OSError as error:
        raise UserError(f"cannot be written ({error.strerror or error})", where=folder.parent) from None
    try:
        yield
    finally:
        with suppress(OSError):  # Windows has filelock remove the file
            Path(lock.lock_file).unlink()
        lock.release()
        with suppress(OSError):  # a folder with something in it stays
            for parent in new:
                parent.rmdir()


def _new(target: Path) -> Path:
    return target.with_name(f".{target.name}.new")


def _old(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")
