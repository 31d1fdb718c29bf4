"""Where the documents of a task of lm-evaluation-harness are: data files beside its YAML, or a data set by name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from task_suites.core.errors import UserError, nearest
from task_suites.core.files import inside
from task_suites.sources.dataset_rows import find_dataset
from task_suites.sources.rows import FileRows, Row, Rows
from task_suites.sources.table import checked

BUILDERS = {"json": "json", "csv": "csv", "parquet": "parquet", "arrow": "arrow"}  # dataset_path -> format
DATA_KEYS: dict[str, tuple[type, ...]] = {
    "data_files": (dict, list, str),
    **dict.fromkeys(("delimiter", "sep", "data_dir", "revision"), (str,)),
    "trust_remote_code": (bool,),  # says nothing here: no code is run either way
}


def parts_of(config: Mapping[Any, Any], root: Path, path: Path) -> dict[str, Rows]:
    """ "test" and, where demonstrations come from another split, "train" -> documents."""
    splits = {
        key: text_of(config, key, path) for key in ("training_split", "validation_split", "test_split", "fewshot_split")
    }
    test = splits["test_split"] or splits["validation_split"]
    train = splits["fewshot_split"] or splits["training_split"] or splits["validation_split"]
    if not test:
        raise UserError("neither test_split nor validation_split is named", where=path, expected="one of them")
    few = config.get("fewshot_config")
    samples = few.get("samples") if isinstance(few, dict) else None
    names = {"test": test} if train in ("", test) or samples is not None else {"test": test, "train": train}
    parts = _rows(config, root, path, names)
    if samples is not None:
        if not isinstance(samples, list) or not all(isinstance(row, dict) for row in samples):
            found = repr(samples)[:60]
            raise UserError(
                "fewshot_config.samples has a wrong type", where=path, found=found, expected="a list of documents"
            )
        parts["train"] = Given(tuple(samples), f"{path} (fewshot_config.samples)")
    return parts


@dataclass(frozen=True)
class Given:
    """Documents that are written in the YAML file itself."""

    rows: tuple[Row, ...]
    where: str

    def read(self, columns: object = None) -> Iterator[tuple[object, Row]]:
        return ((f"{self.where}: item {number}", row) for number, row in enumerate(self.rows, 1))

    def class_names(self, column: str) -> tuple[str, ...]:
        return ()


def _rows(config: Mapping[Any, Any], root: Path, path: Path, names: Mapping[str, str]) -> dict[str, Rows]:
    """Our part -> the documents of its split."""
    kwargs = config.get("dataset_kwargs") or {}
    if not isinstance(kwargs, dict):
        raise UserError("dataset_kwargs has a wrong type", where=path, found=repr(kwargs)[:60], expected="a mapping")
    kwargs = checked(kwargs, DATA_KEYS, f"{path} (dataset_kwargs)")
    source = text_of(config, "dataset_path", path)
    if source not in BUILDERS:
        keys = {"path": source, "train": names.get("train", names["test"]), "test": names["test"]}
        keys |= {"config": config["dataset_name"]} if config.get("dataset_name") else {}
        keys |= {"revision": kwargs["revision"]} if "revision" in kwargs else {}
        if not source or not isinstance(keys.get("config", ""), str) or "data_files" in kwargs:
            expected = f"dataset_path of {', '.join(BUILDERS)} with data_files, or a data set's name"
            raise UserError(
                "dataset_path does not name data that can be read",
                where=path,
                found=repr(source)[:60],
                expected=expected,
            )
        found = find_dataset(keys, path.parent, path).parts
        return {part: found[part] for part in names}
    files = kwargs.get("data_files")
    files = files if isinstance(files, dict) else {"train": files}
    parts: dict[str, Rows] = {}
    for part, split in names.items():
        listed: Any = files.get(split)
        listed = [listed] if isinstance(listed, str) else listed
        if not isinstance(listed, list) or not listed or not all(isinstance(f, str) and f for f in listed):
            where = f"{path} (dataset_kwargs.data_files)"
            raise UserError(
                f"no files of the split {split[:60]!r}", where=where, fix=nearest(split[:60], map(str, files))
            )
        base = kwargs.get("data_dir", "")
        paths = tuple(_found(os.path.join(base, name), root, path) for name in listed)
        delimiter = kwargs.get("delimiter", kwargs.get("sep", ","))
        if len(delimiter) != 1:
            raise UserError("delimiter must be one character", where=path, found=repr(delimiter[:20]))
        parts[part] = FileRows(paths, BUILDERS[source], delimiter=delimiter)
    return parts


def _found(name: str, root: Path, path: Path) -> Path:
    """Return a data file by its name in a YAML file, which may be relative to that file or to a folder above it.

    The harness takes it from the working folder, which is somewhere above as a rule. Only what lies in the suite's
    folder is looked at.

    Raises:
        UserError: no such file within the folder.
    """
    top = root.resolve()
    beside = path.parent.resolve()
    for base in (beside, *beside.parents):
        place = Path(os.path.normpath(base / name)) if "\0" not in name else base
        if place.is_relative_to(top) and os.path.isfile(file := inside(root, place.relative_to(top))):
            return file
    raise UserError("no such data file", where=path, found=repr(name[:80]), expected=f"a file within {root}")


def text_of(config: Mapping[Any, Any], key: str, path: Path) -> str:
    value = config.get(key)
    if value is not None and not isinstance(value, str):
        raise UserError(f"{key} has a wrong type", where=path, found=repr(value)[:60], expected="text")
    return value or ""
