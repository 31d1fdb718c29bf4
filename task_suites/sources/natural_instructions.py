"""Super-NaturalInstructions (Wang et al. 2022, arXiv 2204.07705): `tasks/*.json` and `splits/<track>/*_tasks.txt`.

Both layouts are read: the current one, and the early one (the definition a text, no licence, instances without id).
The definition is the task's instruction, its examples are the task's `positive` and `negative` illustrations, and all
accepted outputs of an instance count. docs/data.md, "Other layouts", has the options.

A task's file holds its instances too, some megabytes. Opening reads only what stands before them, and the licence
after them; the whole file is read and checked when the examples are first requested.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from task_suites.core.components import components
from task_suites.core.errors import UserError, nearest
from task_suites.core.files import inside, listing, open_file, read_lines, read_text
from task_suites.core.json_files import Place, parse_json, unique
from task_suites.example import Example, labels_problem
from task_suites.sources.layouts import (
    COMMON,
    OVERLAP,
    Item,
    answered,
    folder_name,
    make_suite,
    object_of,
    sound,
    text_field,
    texts_field,
)
from task_suites.sources.options import one_of, split_options
from task_suites.task import Illustration, Task, TaskSuite

OPTIONS = {"track": "", "form": "text", "overlap": "refuse", **COMMON}
SIDES = {"train_tasks.txt": "meta_train", "test_tasks.txt": "meta_test"}
TEST = 100  # "we only evaluate on the first 100 instances" (splits/README.md of the collection)
MAX_LABELS = 10  # form=auto: more different outputs than these are not a list of labels
NO_SOURCE = ("", "synthetic", "n/a", "none", "-")  # names of a source that say that there is none
HEAD, TAIL = 1 << 18, 1 << 12  # bytes read at first of a file's head, and of its end
USUAL = ("Source", "Categories", "Definition", "Domains", "Positive Examples", "Negative Examples", "Instance License")
Head = dict[str, Any]  # the members of a task's JSON object, in the collection's format
_BLANK = re.compile(r"[ \t\n\r]*")


def open_natural_instructions(rest: str) -> TaskSuite:
    """Open the suite in a folder of Super-NaturalInstructions.

    Args:
        rest: ``FOLDER?track=default&form=text&overlap=refuse``. The track is a folder below ``splits``; its test tasks
            are for meta-testing, its train tasks for meta-training, others in no split. Without ``splits``, or with
            ``track=none``, all are for meta-testing. ``form=auto`` makes a classification of each task whose instances
            have one output each and in all at most ten different ones, each twice or more (this reads every file).

    Raises:
        UserError: the folder, a file or a value is missing, unknown or wrong.
    """
    root, options = split_options(rest, OPTIONS)
    one_of(options, "form", ("text", "auto"))
    shared = one_of(options, "overlap", ("refuse", "allow")) == "refuse"
    folder = inside(root, "tasks") if "tasks" in listing(root) else root
    names = [name.removesuffix(".json") for name in listing(folder) if re.fullmatch(r"task.*\.json", name)]
    if not names:
        raise UserError("no task is here", where=folder, expected="files task*.json")
    sides = _sides(root, options["track"], names)
    paths = {name: inside(folder, f"{name}.json") for name in names}
    heads = {name: _head(path) for name, path in paths.items()}
    families = _families({name: _sources(heads[name], paths[name]) for name in names})
    tasks = [_task(name, paths[name], heads[name], families[name] if shared else name, options) for name in names]
    return make_suite(folder_name(root), tasks, sides, root, fix=OVERLAP)


def _sides(root: Path, track: str, names: list[str]) -> dict[str, list[str]] | None:
    """Meta-split -> tasks, by the track's files; None without a track."""
    if track == "none" or (not track and "splits" not in listing(root)):
        return None
    folder = inside(root, "splits")
    tracks = listing(folder)
    if (track or "default") not in tracks:
        raise UserError(f"no track {track or 'default'!r}", where=folder, fix=nearest(track or "default", tracks))
    known, sides = set(names), {}
    for file, side in SIDES.items():
        path = inside(folder, f"{track or 'default'}/{file}")
        seen: list[str] = []
        for number, line in read_lines(path):
            name = line.strip()
            if name and name not in known:
                raise UserError(f"no task {name[:80]!r}", where=f"{path}:{number}", fix=nearest(name[:80], known))
            seen += [name] if name else []
        sides[side] = seen
    return sides


# --- a task's head ----------------------------------------------------------------------------------------------------


def _head(path: Path) -> Head:
    """Return what a task's file says besides its instances, these unread where all of it stands where it usually
    does."""
    size = HEAD
    with open_file(path) as file:
        while True:
            file.seek(0)
            data = file.read(size)
            if head := _members(data):
                file.seek(max(0, file.seek(0, 2) - TAIL))
                head |= _licence(file.read().decode("utf-8", "replace"))
                if all(key in head for key in USUAL):
                    return head
                break
            if len(data) < size:
                break
            size *= 8
    text = read_text(path)
    return object_of(parse_json(text, path), path)


def _members(data: bytes) -> Head | None:
    """Return the members of a JSON object before "Instances"; None where the bytes are no such beginning."""
    decoder = json.JSONDecoder(object_pairs_hook=unique)
    head: Head = {}

    def past(mark: str, at: int) -> int:
        at = _BLANK.match(text, at).end()  # type: ignore[union-attr]
        if text[at : at + 1] != mark:
            raise ValueError(f"no {mark}")
        return _BLANK.match(text, at + 1).end()  # type: ignore[union-attr]

    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(data)
        at = past("{", 0)
        while True:
            key, at = decoder.raw_decode(text, at)
            at = past(":", at)
            if key == "Instances":
                json.dumps(head, ensure_ascii=False).encode()  # half of a surrogate pair is a ValueError
                return head
            if not isinstance(key, str) or key in head:
                return None
            head[key], at = decoder.raw_decode(text, at)
            at = past(",", at)
    except (ValueError, RecursionError):
        return None


def _licence(tail: str) -> Head:
    """Return the member "Instance License" at the end of a file, where it usually stands."""
    key = '"Instance License"'
    start = tail.rfind(key)
    try:
        value, _ = json.JSONDecoder().raw_decode(tail[start + len(key) :].lstrip().removeprefix(":").lstrip())
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return {}
    return {"Instance License": value} if start >= 0 else {}


def _sources(head: Mapping[str, Any], path: Path) -> list[str]:
    named = [source.strip() for source in texts_field(head, "Source", path, optional=True)]
    return [source for source in named if source.casefold() not in NO_SOURCE]


def _families(sources: Mapping[str, list[str]]) -> dict[str, str]:
    """Task -> the name of its family: tasks that share a source, directly or by way of others, are one family."""
    family = components((names[0].casefold(), other.casefold()) for names in sources.values() for other in names)
    return {task: family[names[0].casefold()] if names else "" for task, names in sources.items()}


def _task(name: str, path: Path, head: Mapping[str, Any], family: str, options: Mapping[str, str]) -> Task:
    if "Definition" not in head:
        raise UserError("key 'Definition' is missing", where=path)
    labels = _labels(path, options) if options["form"] == "auto" else ()
    if wrong := labels_problem(labels):
        fix = "Write them alike in the file, or read all tasks as free text: form=text."
        raise UserError(wrong[0], where=path, found=wrong[1], expected=wrong[2], fix=fix)
    return Task(
        name,
        "classification" if labels else "generation",
        partial(_load, path, labels, options),
        instruction=" ".join(" ".join(texts_field(head, "Definition", path)).split()),
        labels=labels,
        metric="macro_f1" if labels else "rouge_l",
        family=family,
        description=", ".join(texts_field(head, "Categories", path, optional=True)),
        domain=", ".join(texts_field(head, "Domains", path, optional=True)),
        source=", ".join(_sources(head, path)),
        licence=", ".join(texts_field(head, "Instance License", path, optional=True)) or options["licence"],
        positive=_illustrations(head, "Positive Examples", path),
        negative=_illustrations(head, "Negative Examples", path),
    )


def _illustrations(head: Mapping[str, Any], key: str, path: Path) -> tuple[Illustration, ...]:
    rows = head.get(key) or []
    if not isinstance(rows, list):
        raise UserError(f"{key} has a wrong type", where=path, found=repr(rows)[:60], expected="a list of objects")
    shown = []
    for number, value in enumerate(rows):
        where = f"{path} ({key}[{number}])"
        row = object_of(value, where)
        outputs = texts_field(row, "output", where)
        if not outputs:
            raise UserError("the output is empty", where=where, expected="a text, or a list of texts")
        explanation = row.get("explanation")
        if explanation is not None:
            explanation = text_field(row, "explanation", where)
        shown.append(Illustration(text_field(row, "input", where), outputs[0], explanation or ""))
    return tuple(shown)


# --- instances --------------------------------------------------------------------------------------------------------


def _load(path: Path, labels: tuple[str, ...], options: Mapping[str, str], split: str) -> list[Example]:
    """The first 100 instances, at most half of them, are the test part, as in the collection's own protocol."""
    items = list(_items(path))
    count = min(TEST, len(items) // 2)
    part = items[:count] if split == "test" else items[count:]
    if labels:
        part = [(where, Example(e.input, e.output, labels)) for where, e in part]
    return sound(part, labels, options, path)


def _items(path: Path) -> Iterator[Item]:
    text = read_text(path)
    rows = object_of(parse_json(text, path), path).get("Instances")
    if not isinstance(rows, list) or len(rows) < 2:
        raise UserError("Instances must be a list of at least two", where=path, found=repr(rows)[:60])
    for number, value in enumerate(rows):
        where = Place(path, text, ("Instances", number))
        row = object_of(value, where)
        yield where, answered(text_field(row, "input", where), texts_field(row, "output", where))


def _labels(path: Path, options: Mapping[str, str]) -> tuple[str, ...]:
    """Return the different outputs where they are few and each occurs again, sorted; else none."""
    examples = sound(_items(path), (), options, path)
    counts: dict[str, int] = {}
    for e in examples:
        counts[str(e.output)] = counts.get(str(e.output), 0) + 1
    few = 2 <= len(counts) <= MAX_LABELS and min(counts.values()) > 1
    return tuple(sorted(counts)) if few and not any(e.accepted for e in examples) else ()
