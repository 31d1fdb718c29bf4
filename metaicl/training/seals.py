"""Hashes of a folder's files, kept in the folder itself, by which damage after saving is noticed.

A disk that flips a bit, a copy that was cut off, and a file of another run can all leave tensors that look sound, with
the right names and shapes and with finite values. Their hash differs.
"""

from __future__ import annotations

import json
from pathlib import Path

from task_suites.core.errors import UserError
from task_suites.core.files import sha256
from task_suites.core.json_files import read_json

SEAL = "files.json"


def seal(folder: Path) -> None:
    """Write the SHA-256 of each file of a folder into its `SEAL`."""
    files = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.is_file()}
    (folder / SEAL).write_text(json.dumps(files, indent=1) + "\n", encoding="utf-8")


def check_seal(folder: Path, fix: str) -> None:
    """Raise unless the files of a folder are those that were sealed; further files are passed over.

    Raises:
        UserError: names the files that are missing or changed.
    """
    files = _sealed(folder)
    if not files:
        raise UserError("no record of the files that were saved", where=folder, expected=f"a whole {SEAL}", fix=fix)
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
    """The hashes that were written into a folder; none where their file is missing or damaged itself."""
    try:
        files = read_json(folder / SEAL)
    except UserError:
        return {}
    return files if isinstance(files, dict) else {}
