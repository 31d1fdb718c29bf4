"""Hashes of a folder's files, kept in the folder itself, by which damage after saving is noticed.

A disk that flips a bit, a copy that was cut off, and a file of another run can all leave tensors that look sound, with
the right names and shapes and with finite values. Their hash differs.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from pathlib import Path

from task_suites.core.errors import UserError
from task_suites.core.files import sha256
from task_suites.core.json_files import read_json

SEAL = "files.json"


def hashes(folder: Path, without: Container[str] = ()) -> dict[str, str]:
    """Return the SHA-256 of each file that lies in a folder, but for the names in `without`."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name not in without)
    return {path.name: sha256(path) for path in files}


def seal(folder: Path) -> None:
    """Write the hashes of a folder's files into its `SEAL`."""
    (folder / SEAL).write_text(json.dumps(hashes(folder), indent=1) + "\n", encoding="utf-8")


def check_seal(folder: Path, fix: str) -> None:
    """Raise unless the files of a folder are those that were sealed; see `check_files`."""
    check_files(folder, _sealed(folder), f"a whole {SEAL}", fix)


def check_files(folder: Path, files: Mapping[str, str], record: str, fix: str) -> None:
    """Raise unless the files of a folder have the hashes that were recorded; further files are passed over.

    Args:
        files: the hash of each file by its name; empty where nothing was recorded.
        record: what should have recorded them, in words.
        fix: the way out.

    Raises:
        UserError: names the files that are missing or changed.
    """
    if not files:
        raise UserError("no record of the files that were saved", where=folder, expected=record, fix=fix)
    faults = [f"no {name}" for name in files if not (folder / name).is_file()]
    whole = [name for name in files if (folder / name).is_file()]
    faults += [f"another {name}" for name in whole if sha256(folder / name) != files[name]]
    if faults:
        raise UserError(
            "the files are not those that were saved",
            where=folder,
            found=", ".join(faults),
            expected="each file unchanged",
            fix=fix,
        )


def _sealed(folder: Path) -> dict[str, str]:
    """Return the hashes that were written into a folder; none where their file is missing or damaged itself."""
    try:
        files = read_json(folder / SEAL)
    except UserError:
        return {}
    return files if isinstance(files, dict) else {}
