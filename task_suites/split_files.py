"""Splits as files of names: reading and writing them. The settings of MetaICL are in `task_suites/settings`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from task_suites.core.atomic import check_free, new_folder, write_text
from task_suites.core.errors import UserError, nearest
from task_suites.core.json_files import read_json
from task_suites.splits import Split, sizes

SETTINGS = Path(__file__).parent / "settings"


def load_split(name: str | Path) -> Split:
    """Return a setting of MetaICL by its name, or a split file (JSON: name, meta_train, meta_validation, meta_test,
    ...).

    Raises:
        UserError: no such setting or file, or one with unknown keys or wrong types.
    """
    known = sorted(path.stem for path in SETTINGS.glob("*.json"))
    path = SETTINGS / f"{name}.json" if str(name) in known else Path(name)
    if not path.is_file():
        raise UserError(f"no split {str(name)!r}", fix=f"{nearest(str(name), known)} Or give a JSON file.")
    row = read_json(path)
    if not isinstance(row, dict):
        expected = "an object of meta_train, meta_validation and meta_test"
        raise UserError("not an object", where=path, found=type(row).__name__, expected=expected)
    keys = set(Split.__dataclass_fields__)
    values: dict[str, Any] = {}
    for key, value in row.items():
        if key not in keys:
            raise UserError(f"unknown key {key!r}", where=path, fix=nearest(key, keys))
        texts = key in ("name", "description")
        sound = isinstance(value, str) if texts else isinstance(value, list) and all(isinstance(v, str) for v in value)
        if not sound:
            expected = "text" if texts else "a list of task names"
            raise UserError(f"{key} has a wrong type", where=path, found=repr(value)[:60], expected=expected)
        values[key] = value if texts else tuple(value)
    return Split(**{"name": path.stem, **values})


def save_split(split: Split, path: Path) -> None:
    """Write the split as a file that `load_split` reads."""
    write_text(path, json.dumps(asdict(split), ensure_ascii=False, indent=1) + "\n")


def write_splits(splits: Sequence[Split], output: Path) -> str:
    """Write one split as a file, several as files of their names in a new folder, and return a line about each file.

    Raises:
        UserError: the file or folder already exists or cannot be written.
    """
    if len(splits) == 1:
        if output.exists():
            raise UserError("this exists already", where=output, expected="a new file", fix="Give another one.")
        paths = [output]
        save_split(splits[0], output)
    else:
        check_free(output)
        paths = [output / f"{split.name}.json" for split in splits]
        with new_folder(output) as folder:
            for split, path in zip(splits, paths, strict=True):
                save_split(split, folder / path.name)
    return "\n".join(f"{path}: {sizes(split)}" for split, path in zip(splits, paths, strict=True))
