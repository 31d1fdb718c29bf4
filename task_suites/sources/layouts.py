"""What the readers of other people's layouts share: fields of rows, sound items, a test part, sides of the split.

Options that each of them takes: `unsound=skip` leaves out items that are unsound (no answer, options without the
answer, another form than the first item's); else the first of them is an error. `licence=NAME` where the layout states
none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from task_suites.core.errors import UserError
from task_suites.example import Example, labels_problem
from task_suites.sources.options import one_of
from task_suites.task import META_SPLITS, Illustration, Task, TaskSuite

COMMON = {"unsound": "refuse", "licence": ""}  # options and their defaults
OVERLAP = "The option overlap=allow says that this is meant."
MAX_LABELS = 1000
Item = tuple[object, Example]  # where it stands (file:line), the example


def text_field(row: Mapping[str, Any], key: str, where: object, default: str | None = None) -> str:
    """Return a text in a JSON object.

    Raises:
        UserError: it is absent without a default, or it is not text.
    """
    value = row.get(key, default)
    if not isinstance(value, str):
        what = f"{key} has a wrong type" if key in row else f"key {key!r} is missing"
        raise UserError(what, where=where, found=repr(value)[:60] if key in row else None, expected="a string")
    return value


def texts_field(row: Mapping[str, Any], key: str, where: object, optional: bool = False) -> list[str]:
    """Return a list of texts in a JSON object; a single text is a list of one, and null none.

    Raises:
        UserError: it is absent and not optional, or it is something else.
    """
    value = row.get(key)
    if value is None and (optional or key in row):
        return []
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        what = f"{key} has a wrong type" if key in row else f"key {key!r} is missing"
        found = repr(value)[:60] if key in row else None
        raise UserError(what, where=where, found=found, expected="a list of strings")
    return values


def object_of(value: Any, where: object) -> dict[str, Any]:
    """Return the value, which is a JSON object.

    Raises:
        UserError: it is something else.
    """
    if not isinstance(value, dict):
        raise UserError("not a JSON object", where=where, found=type(value).__name__)
    return value


def illustrations(values: Sequence[Any], key: str, where: object) -> tuple[Illustration, ...]:
    """Return right or wrong answers that belong to a task's definition, from a list of mappings.

    Raises:
        UserError: other keys than input, output and explanation, or values that are not text.
    """
    for value in values:
        right = isinstance(value, dict) and {"input", "output"} <= value.keys() <= {"input", "output", "explanation"}
        if not right or not all(isinstance(text, str) for text in value.values()):
            expected = "{input: ..., output: ..., explanation: ...}"
            raise UserError(f"{key} has a wrong value", where=where, found=repr(value)[:60], expected=expected)
    return tuple(Illustration(**value) for value in values)


def one_line(text: str) -> str:
    """Return a text in one line: a run of white space that holds a line break becomes a blank."""
    return " ".join(text.split()) if "\n" in text or "\r" in text else text


def answered(text: str, answers: Sequence[str]) -> Example:
    """Return an example of the text form with all its right answers, each in one line, the first of them the output."""
    lines = list(dict.fromkeys(line for line in map(one_line, answers) if line.strip()))
    return Example(text, lines[0] if lines else None, accepted=tuple(lines[1:]))


def shared_options(examples: Sequence[Example]) -> tuple[str, ...]:
    """Return the options of the first example where all examples have the same ones, in any order; else none.

    More than `MAX_LABELS` are not a list of labels, nor are those that differ only by case or blanks.
    """
    first = examples[0].options or ()
    if len(first) > MAX_LABELS or labels_problem(first):
        return ()
    return first if all(e.options is not None and set(e.options) == set(first) for e in examples) else ()


def sound(
    items: Iterable[Item],
    labels: Sequence[str],
    options: Mapping[str, str],
    where: object,
    skipping: str = "the option unsound=skip",
) -> list[Example]:
    """Return the examples, each checked where it stands; unsound ones are an error, or left out with `unsound=skip`.

    Args:
        where: the file, for an error about all of them.
        skipping: how unsound items are left out, for an error about one.

    Raises:
        UserError: an unsound item, items of different forms, or none at all.
    """
    skip = one_of(options, "unsound", ("refuse", "skip")) == "skip"
    examples: list[Example] = []
    for place, example in items:
        if wrong := example.problem(labels):
            if skip:
                continue
            fix = f"Mend it, or add {skipping} to leave such items out."
            found, expected = str(wrong[1])[:200], str(wrong[2])[:200]
            raise UserError(wrong[0], where=place, found=found, expected=expected, fix=fix)
        if examples and example.form != examples[0].form:
            if skip:
                continue
            found = f"{example.form} after {examples[0].form}"
            what = "the examples have different forms"
            raise UserError(what, where=place, found=found, expected="one form in a task")
        examples.append(example if place is None else replace(example, where=str(place)))
    if not examples:
        raise UserError("no example can be used", where=where, expected="at least one")
    return examples


def divided(
    examples: Sequence[Example], share: float, where: object, seed: int | None = None
) -> dict[str, list[Example]]:
    """Return a train and a test part where the layout has none: the test part is about `share` of the items.

    Which items these are depends on their text (by SHA-256), and on the seed where there is one, not on their order;
    repeated items stay together, and both parts keep the order of the file.

    Raises:
        UserError: fewer than two different items.
    """
    contents = [e.content for e in examples]
    salt = "" if seed is None else f"{seed}/"
    order = sorted(set(contents), key=lambda content: hashlib.sha256(f"{salt}{content}".encode()).digest())
    if len(order) < 2:
        raise UserError("too few items for a train and a test part", where=where, found=len(order), expected="two")
    test = set(order[: min(max(1, round(share * len(order))), len(order) - 1)])
    parts: dict[str, list[Example]] = {"train": [], "test": []}
    for content, example in zip(contents, examples, strict=True):
        parts["test" if content in test else "train"].append(example)
    return parts


def make_suite(
    name: str,
    tasks: Iterable[Task],
    splits: Mapping[str, Sequence[str]] | None,
    where: object,
    description: str = "",
    fix: str | None = None,
) -> TaskSuite:
    """Return a suite of these tasks; without `splits` all are for meta-testing.

    Args:
        fix: what to do about a source on two sides of the split.

    Raises:
        UserError: no task, a task or a source on two sides of the split, a task in a split twice.
    """
    by_name = {task.name: task for task in tasks}
    if not by_name:
        raise UserError(
            "no task is here", where=where, fix="Name the folder of the layout; docs/data.md shows its files."
        )
    sides = {"meta_test": list(by_name)} if splits is None else splits
    side_of: dict[str, str] = {}
    for side, names in sides.items():
        for task in names:
            if task in side_of:
                found = f"{side_of[task]} and {side}"
                raise UserError(
                    f"task {task} is named twice in the split", where=where, found=found, expected="one side"
                )
            side_of[task] = side
    try:
        order = [*(s for s in META_SPLITS if s in sides), *(s for s in sides if s not in META_SPLITS)]
        return TaskSuite(name, by_name, {s: tuple(sides[s]) for s in order}, description)
    except UserError as error:
        raise UserError(str(error), where=where, fix=fix if "family" in str(error) else None) from None


def folder_name(path: Path) -> str:
    """Return a suite's name from its folder, also where that is given as `.` or `..`."""
    return path.name if path.name not in ("", "..") else path.resolve().name or "suite"
