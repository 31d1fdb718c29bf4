"""Folders of MetaICL (Min et al. 2022, arXiv 2110.15943) and CrossFit (Ye et al. 2021, arXiv 2104.08835).

    data/<task>/<task>_<k>_<seed>_<split>.jsonl      MetaICL: task, input, output, options in each line
    config/<setting>.json, config/tasks/<task>.json  MetaICL: sides of the split; type and labels of a task
    data/<task>/<task>_<k>_<seed>_<split>.tsv        CrossFit: input, tab, output, perhaps tabs and further outputs
    custom_tasks_splits/<setting>.json               CrossFit: sides of the split

docs/data.md, "Other layouts", has the options. Neither layout names a task's source data set; it is read off the
task's name (`source_of`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from task_suites.core.errors import UserError, nearest
from task_suites.core.files import inside, listing, read_lines
from task_suites.core.json_files import read_json, read_json_lines
from task_suites.example import Example
from task_suites.metaicl_names import source_of
from task_suites.sources.layouts import (
    COMMON,
    OVERLAP,
    Item,
    answered,
    divided,
    folder_name,
    make_suite,
    object_of,
    one_line,
    shared_options,
    sound,
    text_field,
    texts_field,
)
from task_suites.sources.options import number, one_of, split_options
from task_suites.split_files import load_split
from task_suites.task import Task, TaskSuite

METAICL = {"setting": "", "k": "16", "seed": "100", "train_k": "16384", "train_seed": "100", "overlap": "refuse"}
CROSSFIT = {"setting": "", "k": "", "seed": "100", "overlap": "refuse"}
MEASURED = (  # MetaICL's settings, which `setting_names` knows also where the folder has no config/
    *("hr_to_lr", "class_to_class", "non_class_to_class", "qa_to_qa", "non_qa_to_qa", "non_nli_to_nli"),
    "non_para_to_para",
)
TYPES = {"classification": "classification", "multi-choice": "multiple_choice", "free-form": "generation"}
TEST_SHARE = 0.2  # of a task that has only a train file
_CHOICES = re.compile(r"(?<!\S)\(([A-Z])\)\s+")


@dataclass(frozen=True)
class Parts:
    """The files of one task at one k and seed: `folder/<task>_<k>_<seed>_<split>.<ending>`.

    Attributes:
        k, seed: these numbers as the files' names have them.
        splits: which of train, dev and test there are.
    """

    folder: Path
    ending: str
    k: str
    seed: str
    splits: tuple[str, ...]

    def path(self, split: str) -> Path:
        return inside(self.folder, f"{self.folder.name}_{self.k}_{self.seed}_{split}.{self.ending}")


def open_metaicl(rest: str) -> TaskSuite:
    """Open the suite in a MetaICL folder.

    Args:
        rest: ``FOLDER?setting=&k=16&seed=100&train_k=16384&train_seed=100&overlap=refuse``: meta-training tasks are
            read at (train_k, train_seed), the others at (k, seed). Without a setting all tasks are for meta-testing,
            and one without files at (k, seed) is read at (train_k, train_seed).

    Raises:
        UserError: the folder, a file or a value is missing, unknown or wrong. Examples are read on first use.
    """
    root, options = split_options(rest, {**METAICL, **COMMON})
    data = _data_folder(root)
    target = (str(number(options, "k")), str(number(options, "seed")))
    training = (str(number(options, "train_k")), str(number(options, "train_seed")))
    found = _files(data, "jsonl")
    sides = _sides(root, ("config",), options["setting"], found, {"train": "meta_train", "test": "meta_test"})
    side_of = {name: side for side, names in (sides or {}).items() for name in names}
    tasks = []
    for name in found if sides is None else side_of:
        wanted = [training] if side_of.get(name) == "meta_train" else [target] if side_of else [target, training]
        parts = _chosen(found[name], wanted, data / name)
        if side_of.get(name) == "meta_test" and "test" not in parts.splits:
            fix = "Write it with MetaICL's own scripts."
            raise UserError("the test file of a target task is missing", where=parts.path("test"), fix=fix)
        tasks.append(_metaicl_task(root, name, parts, options))
    return make_suite(folder_name(root), tasks, sides, root, fix=OVERLAP)


def open_crossfit(rest: str) -> TaskSuite:
    """Open the suite in a CrossFit folder.

    Args:
        rest: ``FOLDER?setting=&k=&seed=100&overlap=refuse``; without k a task is read at the k that its files have,
            16 where there are several. A task at k = 16 is a classification whose labels are the outputs of its train
            file (CrossFit counts k by label there and uses 32 for all else); another is multiple choice where each
            train input ends in ``(A) ... (B) ...`` with the output among these, else free text.

    Raises:
        UserError: see `open_metaicl`.
    """
    root, options = split_options(rest, {**CROSSFIT, **COMMON})
    data = _data_folder(root)
    seed = str(number(options, "seed"))
    k = str(number(options, "k")) if options["k"] else ""
    found = _files(data, "tsv")
    sides = _sides(
        root,
        ("custom_tasks_splits", "dataloader/custom_tasks_splits"),
        options["setting"],
        found,
        {"train": "meta_train", "dev": "meta_validation", "test": "meta_test"},
    )
    tasks = []
    for name in found if sides is None else [name for names in sides.values() for name in names]:
        ks = [k] if k else sorted({k for k, s in found[name] if s == seed}, key=lambda k: (k != "16", int(k)))
        tasks.append(_crossfit_task(name, _chosen(found[name], [(k, seed) for k in ks], data / name), options))
    return make_suite(folder_name(root), tasks, sides, root, fix=OVERLAP)


def setting_names(root: Path, setting: str) -> tuple[list[str], list[str]]:
    """Return the meta-training and the target tasks of a setting: the folder's own, else this package's of MetaICL.

    Raises:
        UserError: there is no such setting.
    """
    path = root / "config" / f"{setting}.json"
    if path.is_file():
        row = object_of(read_json(path), path)
        return texts_field(row, "train", path), texts_field(row, "test", path)
    split = load_split(setting)
    return list(split.meta_train), list(split.meta_test)


def _family(name: str, options: Mapping[str, str]) -> str:
    return source_of(name) if one_of(options, "overlap", ("refuse", "allow")) == "refuse" else name


# --- files ------------------------------------------------------------------------------------------------------------


def _data_folder(root: Path) -> Path:
    """Return `root/data` where there is one, else `root`."""
    if "data" in listing(root) and inside(root, "data").is_dir():
        return inside(root, "data")
    return root


def _files(data: Path, ending: str) -> dict[str, dict[tuple[str, str], Parts]]:
    """Task -> (k, seed) -> the files there are. Folders without such files are passed over."""
    found: dict[str, dict[tuple[str, str], Parts]] = {}
    for name in listing(data):
        folder = inside(data, name)
        if not folder.is_dir():
            continue
        pattern = re.compile(re.escape(name) + rf"_([0-9]{{1,9}})_([0-9]{{1,9}})_(train|dev|test)\.{ending}")
        for file in listing(folder):
            if match := pattern.fullmatch(file):
                k, seed, split = match.groups()
                tasks = found.setdefault(name, {})
                splits = tasks[k, seed].splits if (k, seed) in tasks else ()
                tasks[k, seed] = Parts(folder, ending, k, seed, (*splits, split))
    if not found:
        raise UserError("no task is here", where=data, expected=f"<task>/<task>_<k>_<seed>_<split>.{ending}")
    return found


def _chosen(found: Mapping[tuple[str, str], Parts], wanted: list[tuple[str, str]], where: Path) -> Parts:
    for key in wanted:
        if key in found and "train" in found[key].splits:
            return found[key]
    there = ", ".join(f"k={k} seed={seed}" for (k, seed), parts in sorted(found.items()) if "train" in parts.splits)
    expected = " or ".join(f"k={k} seed={seed}" for k, seed in wanted) or "the seed that the options name"
    raise UserError(
        "the train file for this k and seed is missing", where=where, found=there or "none", expected=expected
    )


def _sides(
    root: Path, places: tuple[str, ...], setting: str, known: Mapping[str, Any], keys: Mapping[str, str]
) -> dict[str, list[str]] | None:
    """Meta-split -> task names by the setting's file; None without a setting."""
    if not setting:
        return None
    folders = [inside(root, place) for place in places]
    folder = next((f for f in folders if f.is_dir()), None)
    if folder is None and places == ("config",) and setting in MEASURED:
        trained, held_out = setting_names(root, setting)
        return _known_sides({"meta_train": trained, "meta_test": held_out}, known, setting)
    settings = [n.removesuffix(".json") for n in listing(folder) if n.endswith(".json")] if folder else []
    if folder is None or setting not in settings:
        raise UserError(f"no setting {setting!r}", where=folder or folders[0], fix=nearest(setting, settings))
    path = inside(folder, f"{setting}.json")
    row = object_of(read_json(path), path)
    return _known_sides(
        {side: texts_field(row, key, path, optional=key == "dev") for key, side in keys.items()}, known, path
    )


def _known_sides(sides: dict[str, list[str]], known: Mapping[str, Any], where: object) -> dict[str, list[str]]:
    for names in sides.values():
        for name in names:
            if name not in known:
                raise UserError(f"no files of the task {name[:80]!r}", where=where, fix=nearest(name[:80], known))
    return sides


# --- MetaICL ----------------------------------------------------------------------------------------------------------


def _metaicl_task(root: Path, name: str, parts: Parts, options: Mapping[str, str]) -> Task:
    """The type is that of config/tasks; where it is not there, the train file is read to see."""
    path = inside(root, f"config/tasks/{name}.json")
    labels: tuple[str, ...] = ()
    if os.path.exists(path):
        row = object_of(read_json(path), path)
        kind = text_field(row, "task_type", path)
        if kind not in TYPES:
            raise UserError(f"unknown task_type {kind[:60]!r}", where=path, fix=nearest(kind[:60], TYPES))
        kind = TYPES[kind]
        if kind == "classification":
            labels = tuple(texts_field(row, "options", path))
            if len(set(labels)) != len(labels) or len(labels) < 2:
                raise UserError(
                    "there must be at least two options, all different", where=path, found=list(labels)[:20]
                )
    else:
        train = sound(_metaicl_items(parts.path("train"), name), (), options, parts.path("train"))
        labels = shared_options(train)
        kind = "classification" if labels else "multiple_choice" if train[0].options else "generation"
    read = partial(_metaicl_items, task=name)
    return _task(name, kind, labels, parts, options, read)


def _metaicl_items(path: Path, task: str) -> Iterator[Item]:
    for where, value in read_json_lines(path):
        row = object_of(value, where)
        if (named := text_field(row, "task", where)) != task:
            raise UserError(
                "the line belongs to another task", where=where, found=repr(named[:60]), expected=repr(task)
            )
        text, output = text_field(row, "input", where), text_field(row, "output", where)
        choices = texts_field(row, "options", where)
        yield where, Example(text, output, tuple(choices)) if choices else Example(text, one_line(output))


def _task(name: str, kind: str, labels: tuple[str, ...], parts: Parts, options: Mapping[str, str], read: Any) -> Task:
    def load(split: str) -> list[Example]:
        alone = "test" not in parts.splits
        path = parts.path("train" if alone else split)
        examples = sound(read(path), labels, options, path)
        return divided(examples, TEST_SHARE, path)[split] if alone else examples

    metric = {"classification": "macro_f1", "multiple_choice": "accuracy"}.get(kind, "exact_match")
    return Task(
        name,
        kind,  # type: ignore[arg-type]
        load,
        labels=labels,
        metric=metric,  # type: ignore[arg-type]
        family=_family(name, options),
        source=source_of(name),
        licence=options["licence"],
    )


# --- CrossFit ---------------------------------------------------------------------------------------------------------


def _crossfit_task(name: str, parts: Parts, options: Mapping[str, str]) -> Task:
    path = parts.path("train")
    rows = list(_crossfit_rows(path))
    labels: tuple[str, ...] = ()
    if parts.k == "16":
        labels = tuple(sorted({outputs[0] for _, _, outputs in rows} - {""}))
    if len(labels) > 1:
        return _task(name, "classification", labels, parts, options, partial(_crossfit_items, labels=labels))
    if rows and all(_with_choices(text, outputs).options for _, text, outputs in rows):
        return _task(name, "multiple_choice", (), parts, options, partial(_crossfit_items, choices=True))
    return _task(name, "generation", (), parts, options, _crossfit_items)


def _crossfit_rows(path: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Yield (file:line, input, outputs) of each line."""
    for row, line in read_lines(path):
        text, *outputs = line.split("\t")
        yield f"{path}:{row}", text, [output.strip() for output in outputs] or [""]


def _crossfit_items(path: Path, labels: tuple[str, ...] = (), choices: bool = False) -> Iterator[Item]:
    for where, text, outputs in _crossfit_rows(path):
        if choices:
            yield where, _with_choices(text, outputs)
        else:
            yield where, Example(text, outputs[0], labels) if labels else answered(text, outputs)


def _with_choices(text: str, outputs: list[str]) -> Example:
    """Return ``Why? (A) this (B) that`` as an input with options; text without such choices stays as it is."""
    head, *rest = _CHOICES.split(text)
    letters, choices = rest[::2], tuple(choice.strip() for choice in rest[1::2])
    in_order = letters == [chr(ord("A") + n) for n in range(len(letters))]
    if len(choices) < 2 or not in_order or outputs[0] not in choices:
        return answered(text, outputs)
    return Example(head.rstrip(), outputs[0], choices)
