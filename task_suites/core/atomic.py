"""Files and folders that are written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from task_suites.core.errors import UserError
from task_suites.core.yaml_files import read_yaml


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A scratch folder beside `target` that is renamed to it when the block ends well, and removed when it does not.

    Args:
        target: does not exist, or is an empty folder.

    Raises:
        UserError: it cannot be written.
    """
    place = Path(os.path.realpath(target))
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    except OSError as error:
        raise UserError(f"cannot be written ({error.strerror})", where=target) from None
    try:
        yield scratch
        scratch.chmod(0o777 & ~_umask())  # a temporary folder is its maker's only
        share(scratch)
        os.replace(scratch, place)  # also onto an empty folder
    except OSError as error:
        raise UserError(f"cannot be written ({error.strerror or error})", where=target) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, where they are missing.

    Raises:
        UserError: it cannot be made, or a file is in the way.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot be written ({error.strerror or error})", where=folder) from None


def share(folder: Path) -> None:
    """Give the files in a folder the rights of any new file: safetensors writes its own for their owner only."""
    mode = 0o666 & ~_umask()
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(mode)


def occupied(target: Path) -> bool:
    """Return whether there is something at `target` that a new folder would replace."""
    return os.path.exists(target) and (not target.is_dir() or any(target.iterdir()))


def check_free(target: Path) -> None:
    """Raise a `UserError` where there is something at `target`."""
    if occupied(target):
        raise UserError("this exists already", where=target, expected="a new or empty folder", fix="Give another one.")


def write_text(path: Path, text: str) -> None:
    """Write one file, whole or not at all; its folder is made where it is missing. A pipe or device is written into.

    Raises:
        UserError: it cannot be written.
    """
    place = Path(os.path.realpath(path))
    scratch = place.with_name(f".{place.name}-{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists() and not place.is_file():
            place.write_text(text, encoding="utf-8")
            return
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(place)
    except OSError as error:
        with suppress(OSError):
            scratch.unlink()
        fix = "Free space, or write to another folder."
        raise UserError(f"cannot be written ({error.strerror or error})", where=path, fix=fix) from None


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """JSON lines; the folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write_yaml(path: Path, value: Any) -> None:
    """Write a YAML file that reads back as the value: in plain Unicode, or where that is folded wrongly (NEL) escaped.

    Raises:
        UserError: YAML cannot hold the value.
    """
    for plain in (True, False):
        path.write_text(yaml.safe_dump(value, sort_keys=False, allow_unicode=plain, width=120), encoding="utf-8")
        if read_yaml(path) == value:
            return
    fix = "Leave the task out (--exclude), or choose another layout."
    raise UserError("YAML cannot hold the texts of this task unchanged", where=path.name, fix=fix)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
