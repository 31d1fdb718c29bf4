"""BIG-bench JSON tasks (Srivastava et al. 2023, arXiv 2206.04615) and BIG-Bench Hard (Suzgun et al. 2023, 2210.09261).

    <task>/task.json, <task>/<subtask>/task.json    BIG-bench: examples with `target_scores` or `target`
    <task>.json                                     BIG-Bench Hard: examples with `input` and `target`

Neither has a train part: `layouts.divided` makes one. docs/data.md, "Other layouts", has the options.

With `target_scores` the choices are the example's options and the best of them its output; where several are best, the
first of them in the file is the output and the others are `accepted`: a metric counts them as right too. The prefixes
that BIG-bench puts around inputs are left to the prompt's format, except the task's own, which is the instruction.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from task_suites.core.errors import UserError
from task_suites.core.files import inside, listing, read_text
from task_suites.core.json_files import Place, parse_json
from task_suites.example import Example
from task_suites.sources.layouts import (
    COMMON,
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
from task_suites.sources.options import split_options
from task_suites.task import Task, TaskSuite

Parsed = tuple[dict[str, Any], str]  # a file's object, and its text
OPTIONS = {"test_share": "0.5", **COMMON}
_CHOICES = re.compile(r"\n[ \t]*Options:[ \t]*\n")
_LETTERED = re.compile(r"\(([A-Z])\)\s*(.*)")
_SIZE = re.compile(r"_(three|five|seven)_objects$")  # the three sizes of one task of BIG-Bench Hard


def open_big_bench(rest: str) -> TaskSuite:
    """Open the suite in a folder of BIG-bench tasks, or of one task; all for meta-testing, a task and its subtasks a
    family.

    Args:
        rest: ``FOLDER?test_share=0.5``: the share of each task's items that are its test part.

    Raises:
        UserError: the folder, a file or a value is missing, unknown or wrong.
    """
    root, options = split_options(rest, OPTIONS)
    _share(options)
    if "task.json" in listing(root):
        folders = {folder_name(root): root}
    else:
        folders = {name: inside(root, name) for name in listing(root) if inside(root, name).is_dir()}
        folders = {name: folder for name, folder in folders.items() if "task.json" in listing(folder)}
    if not folders:
        raise UserError("no task is here", where=root, expected="task.json, or <task>/task.json")
    tasks = [task for name, folder in folders.items() for task in _big_bench_tasks(name, folder, options)]
    return make_suite(folder_name(root), tasks, None, root)


def open_big_bench_hard(rest: str) -> TaskSuite:
    """Open the suite in a folder of BIG-Bench Hard (its ``bbh`` folder or the one above); all for meta-testing.

    Args:
        rest: ``FOLDER?test_share=0.5``.

    Raises:
        UserError: see `open_big_bench`.
    """
    root, options = split_options(rest, OPTIONS)
    _share(options)
    folder = inside(root, "bbh") if "bbh" in listing(root) else root
    names = [name for name in listing(folder) if name.endswith(".json")]
    tasks = []
    for file in names:
        name, path = file.removesuffix(".json"), inside(folder, file)
        family = _SIZE.sub("", name)
        source = f"BIG-Bench Hard: {family}"
        tasks.append(_task(name, family, path, _hard_items, _read(path), options, source=source))
    if not tasks:
        raise UserError("no task is here", where=folder, expected="<task>.json")
    return make_suite(folder_name(root), tasks, None, root)


def _share(options: Mapping[str, str]) -> float:
    value = options["test_share"]
    if not re.fullmatch(r"0?\.[0-9]{1,9}", value) or not float(value):
        raise UserError("option test_share has a wrong value", found=repr(value), expected="a share, as 0.5")
    return float(value)


def _task(
    name: str,
    family: str,
    path: Path,
    items: Callable[[Path, Parsed], Iterator[Item]],
    parsed: Parsed,
    options: Mapping[str, str],
    metric: str = "",
    **head: Any,
) -> Task:
    """Return a task whose type is read off its items: the same options in all, each its own, or none."""
    examples = sound(items(path, parsed), (), options, path)
    labels = shared_options(examples)
    kind = "classification" if labels else "multiple_choice" if examples[0].options else "generation"
    with_options = examples[0].options is not None
    metric = ("" if with_options else metric) or ("accuracy" if with_options else "exact_match")

    def load(split: str) -> list[Example]:
        return divided(sound(items(path, _read(path)), labels, options, path), _share(options), path)[split]

    return Task(
        name,
        kind,  # type: ignore[arg-type]
        load,
        labels=labels,
        metric=metric,  # type: ignore[arg-type]
        family=family,
        licence=options["licence"],
        **head,
    )


# --- BIG-bench --------------------------------------------------------------------------------------------------------


def _big_bench_tasks(name: str, folder: Path, options: Mapping[str, str]) -> Iterator[Task]:
    path = inside(folder, "task.json")
    parsed = _read(path)
    head, _ = parsed
    subtasks = texts_field(head, "subtasks", path, optional=True)
    if head.get("examples") or not subtasks:
        yield _big_bench_task(name, name, path, parsed, options)
    if len(set(subtasks)) != len(subtasks):
        raise UserError("subtasks names one subtask twice", where=path, fix="Name it once.")
    for entry in subtasks:
        below = entry.rpartition(":")[2]
        if below in ("", ".", "..") or "/" in below or "\\" in below:
            raise UserError(
                "an entry of subtasks names none", where=path, found=repr(entry[:60]), expected="task:folder"
            )
        lower = inside(folder, f"{below}/task.json")
        parsed = _read(lower)
        if parsed[0].get("subtasks"):
            raise UserError("a subtask has subtasks of its own", where=lower, fix="Name the subtask's folder itself.")
        yield _big_bench_task(f"{name}:{below}", name, lower, parsed, options)


def _read(path: Path) -> Parsed:
    text = read_text(path)
    return object_of(parse_json(text, path), path), text


def _big_bench_task(name: str, family: str, path: Path, parsed: Parsed, options: Mapping[str, str]) -> Task:
    head, _ = parsed
    described = text_field(head, "description", path, "")
    prefix = text_field(head, "task_prefix", path, "")
    scores = [text_field(head, "preferred_score", path, ""), *texts_field(head, "metrics", path, optional=True)]
    first = next((score for score in scores if score), "")
    generated = "rouge_l" if first.lower().startswith(("rouge", "bleu")) else ""
    return _task(
        name,
        family,
        path,
        _big_bench_items,
        parsed,
        options,
        generated,
        instruction=" ".join((prefix.strip() or described).split()),
        description=" ".join(described.split()),
        source=f"BIG-bench: {family}",
    )


def _rows(path: Path, parsed: Parsed) -> Iterator[tuple[Place, dict[str, Any]]]:
    head, text = parsed
    rows = head.get("examples")
    if not isinstance(rows, list):
        raise UserError("examples must be a list of objects", where=path, found=repr(rows)[:60])
    for number, value in enumerate(rows):
        where = Place(path, text, ("examples", number))
        yield where, object_of(value, where)


def _big_bench_items(path: Path, parsed: Parsed) -> Iterator[Item]:
    for where, row in _rows(path, parsed):
        text = text_field(row, "input", where)
        scores = row.get("target_scores")
        if scores is None:
            yield where, answered(text, texts_field(row, "target", where))
            continue
        if not isinstance(scores, dict) or not all(map(_is_number, scores.values())):
            found = repr(scores)[:60]
            raise UserError("target_scores has a wrong type", where=where, found=found, expected="choices with numbers")
        highest = max(scores.values(), default=0)
        best = [choice for choice, score in scores.items() if score == highest]
        if len(best) == len(scores):
            best = []  # nothing is better than anything else: no answer
        yield where, Example(text, best[0] if best else None, tuple(scores), accepted=tuple(best[1:]))


def _is_number(value: Any) -> bool:
    return type(value) is int or (type(value) is float and math.isfinite(value))


# --- BIG-Bench Hard ---------------------------------------------------------------------------------------------------


def _hard_items(path: Path, parsed: Parsed) -> Iterator[Item]:
    for where, row in _rows(path, parsed):
        yield where, _hard_example(text_field(row, "input", where), text_field(row, "target", where))


def _hard_example(text: str, target: str) -> Example:
    """Return ``... Options: (A) this (B) that`` (one a line, or with dashes) as options, and the rest as the input."""
    heads = list(_CHOICES.finditer(text))
    if heads:
        options = _listed(text[heads[-1].end() :].strip("\n").split("\n"))
        if options:
            answer = one_line(target).strip()
            return Example(text[: heads[-1].start()], options.get(answer, answer), tuple(options.values()))
    return answered(text, [target])


def _listed(lines: list[str]) -> dict[str, str]:
    """Return how an answer names an option -> the option; empty where the lines are not a list of options."""
    options: dict[str, str] = {}
    for n, line in enumerate(lines):
        if match := _LETTERED.fullmatch(line.strip()):
            if match[1] != chr(ord("A") + n):
                return {}
            options[f"({match[1]})"] = match[2].strip()
        elif line.strip().startswith("- "):
            option = line.strip()[2:].strip()
            options[option] = option
        else:
            return {}
    return options if len(options) > 1 else {}
