"""The rows of a Hugging Face data set, of the hub or local, which a table YAML names by `path`.

Local files and folders (Parquet, JSON, CSV, Arrow, what `save_to_disk` writes) are read as they are, without a cache
and without the network. A hub name goes through `datasets.load_dataset` at one commit, which is recorded. No code of a
data set is run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from task_suites.core.errors import UserError, nearest
from task_suites.core.files import inside, listing
from task_suites.core.json_files import read_json
from task_suites.sources.layouts import folder_name
from task_suites.sources.narrow_numbers import restored, restorers
from task_suites.sources.rows import FileRows, Placed, Rows, data_files, fingerprint, names_of

TESTS = ("test", "validation", "dev")  # the first that a data set has is for testing, unless one is named
_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Found:
    """A data set: "train" and perhaps "test" -> rows, and what is known of its origin, as fields of `Task`."""

    parts: Mapping[str, Rows]
    head: Mapping[str, str]


def find_dataset(keys: Mapping[str, Any], folder: Path, where: object) -> Found:
    """Return the data set that `path`, `config` and `revision` name, its splits `train` and `test`.

    Args:
        keys: the keys of a table YAML.
        folder: local names are looked for here, and do not lead out of it.

    Raises:
        UserError: no data set has the name, or it has no such split.
    """
    for key in ("train", "test"):
        if not isinstance(keys.get(key, ""), str):
            raise UserError(
                f"{key} has a wrong type", where=where, found=repr(keys[key])[:60], expected="a split's name"
            )
    name = keys["path"]
    local = name.startswith((".", "/", "~")) or "\0" in name or os.path.exists(inside(folder, name))
    return _local(keys, inside(folder, name), where) if local else _hub(keys, where)


def _chosen(keys: Mapping[str, Any], splits: Collection[str], where: object) -> dict[str, str]:
    """ "train" and perhaps "test" -> the name of a split. A data set with one split has that for training."""
    train = keys.get("train") or (next(iter(splits)) if len(splits) == 1 else "train")
    test = keys.get("test") or next((name for name in TESTS if name in splits and name != train), None)
    for name in filter(None, (train, test)):
        if name not in splits:
            raise UserError(f"no split {name[:60]!r}", where=where, fix=nearest(name[:60], splits))
    return {"train": train, "test": test} if test else {"train": train}


# --- local ------------------------------------------------------------------------------------------------------------


def _local(keys: Mapping[str, Any], path: Path, where: object) -> Found:
    if "revision" in keys:
        raise UserError("a local data set has no revision", where=where, fix="Leave `revision` out.")
    splits = {"train": (path,)} if os.path.isfile(path) else _splits(path, keys.get("config", ""), where)
    chosen = {part: splits[name] for part, name in _chosen(keys, splits, where).items()}
    kind = {"format": keys["format"]} if "format" in keys else {}
    parts = {part: FileRows(paths, **kind) for part, paths in chosen.items()}
    for rows in parts.values():
        for file in rows.paths:
            rows.kind(file)
    digest = fingerprint(file for rows in parts.values() for file in rows.paths)
    name = path.stem if os.path.isfile(path) else folder_name(path)
    config = f" ({keys['config']})" if "config" in keys else ""
    return Found(parts, {"source": f"{name}{config}, fingerprint {digest}", "family": name})


def _splits(folder: Path, config: str, where: object) -> dict[str, tuple[Path, ...]]:
    """Split -> files: those of `save_to_disk`, else files named after splits in the folder, its `data` or a config."""
    names = listing(folder)
    if "state.json" in names:
        return {"train": _saved(folder)}
    if "dataset_dict.json" in names:
        path = inside(folder, "dataset_dict.json")
        value = read_json(path)
        splits = value.get("splits") if isinstance(value, dict) else None
        if not isinstance(splits, list) or not splits or not all(isinstance(name, str) for name in splits):
            raise UserError(
                "the file names no splits", where=path, found=repr(value)[:60], expected='{"splits": ["train", ...]}'
            )
        return {name: _saved(inside(folder, name)) for name in splits}
    places = [config] if config else ["", "data"]
    for place in places:
        within = inside(folder, place)
        if os.path.isdir(within) and (files := data_files(within, listing(within))):
            return {split: tuple(inside(folder, Path(place, name)) for name in names) for split, names in files.items()}
    configs = [
        name
        for name in names
        if os.path.isdir(inside(folder, name)) and data_files(folder, listing(inside(folder, name)))
    ]
    fix = nearest(config, configs) if config or not configs else f"Name a config: {', '.join(configs)[:200]}."
    raise UserError(
        "no data file is here",
        where=inside(folder, config),
        expected="train.parquet, test.csv, ...",
        fix=fix if configs else None,
    )


def _saved(folder: Path) -> tuple[Path, ...]:
    """Return the files that state.json lists, inside the folder."""
    path = inside(folder, "state.json")
    value = read_json(path)
    files = value.get("_data_files") if isinstance(value, dict) else None
    names = [f.get("filename") for f in files if isinstance(f, dict)] if isinstance(files, list) else []
    if not names or not all(isinstance(name, str) and name for name in names):
        raise UserError("the file names no data files", where=path, expected='"_data_files": [{"filename": ...}]')
    return tuple(inside(folder, str(name)) for name in names)


# --- hub --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HubRows:
    """The rows of a `datasets.Dataset`, or of an iterable one that streams."""

    dataset: Any
    where: str
    features: Mapping[str, Any] = field(default_factory=dict)

    def read(self, columns: Collection[str] | None = None) -> Iterator[Placed]:
        dataset = self.dataset
        if columns is not None and self.features:
            dataset = dataset.select_columns([name for name in self.features if name in columns])
        made = restorers(found.arrow_schema) if (found := self.dataset.features) is not None else {}
        rows = enumerate(dataset, 1)
        while True:
            try:
                index, row = next(rows)
            except StopIteration:
                return
            except Exception as error:  # the network, a broken file, a decoder
                raise UserError(f"cannot be read ({in_short(error)})", where=self.where) from None
            yield f"{self.where}: row {index}", restored(row, made)

    def class_names(self, column: str) -> tuple[str, ...]:
        return names_of(self.features.get(column))


def _hub(keys: Mapping[str, Any], where: object) -> Found:
    name, config, revision = keys["path"], keys.get("config"), keys.get("revision", "")
    if not _NAME.fullmatch(name):
        raise UserError(
            "this is neither a file nor the name of a data set of the hub",
            where=where,
            found=repr(name[:80]),
            expected="a path that exists, or a name such as SetFit/sst2",
        )
    commit, licence = (revision, "") if _COMMIT.fullmatch(revision) else _resolved(name, revision, where)
    import datasets

    try:
        data = datasets.load_dataset(name, config, revision=commit, streaming="streaming" in keys)
    except Exception as error:  # whatever the network, the hub and its files make of it
        raise UserError(f"the data set {name} cannot be loaded ({in_short(error)})", where=where, fix=OFFLINE) from None
    parts: dict[str, Rows] = {}
    prints = []
    for part, split in _chosen(keys, list(data), where).items():
        features = data[split].features
        place = f"hf:{name}@{commit[:12]} {split}"
        parts[part] = HubRows(data[split], place, features.to_dict() if features is not None else {})
        if print_ := getattr(data[split], "_fingerprint", None):
            prints.append(str(print_))
    stated = f"{name}@{commit}" + (f" ({config})" if config else "")
    head = {"source": stated + (f", fingerprint {'-'.join(prints)}" if prints else ""), "family": name}
    return Found(parts, {**head, "licence": licence} if licence else head)


OFFLINE = (
    "With a network, check the name; without one, give a local folder, or a commit (revision=...) that `datasets` has "
    "in its cache."
)


def _resolved(name: str, revision: str, where: object) -> tuple[str, str]:
    """Return (the commit that a branch or tag of a hub data set stands at now, its licence)."""
    try:
        return commit_of(name, revision)
    except Exception as error:  # no network, no such data set, no such revision
        raise UserError(
            f"the data set {name} is not here, and its commit cannot be requested ({in_short(error)})",
            where=where,
            fix=OFFLINE,
        ) from None


def commit_of(name: str, revision: str) -> tuple[str, str]:
    """Return (the commit of a branch or tag of a hub data set, of its main branch where that is empty; its licence).

    Raises what the hub's client raises where it cannot say.
    """
    from huggingface_hub import HfApi

    info = HfApi().dataset_info(name, revision=revision or None, timeout=20)
    licence = getattr(info.card_data, "license", None)
    return str(info.sha), licence if isinstance(licence, str) else ""


def in_short(error: Exception) -> str:
    """Return what an error of another library says, in a line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
