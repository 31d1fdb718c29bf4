"""Folders of In-context Tuning (Chen et al. 2022, arXiv 2110.07814), as its code reads them.

    data.pkl                        task -> examples: <label> is the index of a verbalizer, each other key a text
    templates.pkl                   task -> templates with these keys, of which <label> is the last
    cross_validation_splits.pkl     fold -> train, val and test: names of tasks
    class_verbalizers.txt           the verbalizers of all tasks, one a line; or
    verbalizers.pkl                 task -> its own verbalizers

A pickle is read without running code: it may hold plain values only. A task with at most `MOST` verbalizers is a
classification; one with more, as in LAMA, asks for text.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from task_suites.core.errors import UserError
from task_suites.core.files import inside, listing, open_file
from task_suites.example import Example
from task_suites.sources.layouts import COMMON, divided, folder_name, make_suite, sound
from task_suites.sources.options import number, split_options
from task_suites.task import Task, TaskSuite

OPTIONS = {"fold": "0", "template": "0"}
LABEL = "<label>"
MOST = 50  # verbalizers of a task whose answers are options
TEST_SHARE = 0.5  # the layout has no test part: any other example of a task may be a demonstration
DAMAGE = (  # what the unpickler says of a file that is not a pickle of its kind
    *(pickle.UnpicklingError, EOFError, ArithmeticError, LookupError, ValueError, AttributeError, TypeError),
    *(AssertionError, struct.error, RecursionError),
)
SIDES = {"train": "meta_train", "val": "meta_validation", "test": "meta_test"}


def open_in_context_tuning(rest: str) -> TaskSuite:
    """Open the suite in a folder of In-context Tuning.

    Args:
        rest: ``FOLDER?fold=0&template=0``: the split of the tasks, and which of a task's templates writes its inputs.

    Raises:
        UserError: a file or a value is missing or wrong, or a pickle holds more than plain values.
    """
    root, options = split_options(rest, {**OPTIONS, **COMMON})
    data, templates = _mapping(root, "data.pkl"), _mapping(root, "templates.pkl")
    words = _verbalizers(root, data)
    tasks = [_task(root, str(name), rows, templates.get(name, ()), words[name], options) for name, rows in data.items()]
    fold, path = number(options, "fold"), inside(root, "cross_validation_splits.pkl")
    splits = read_plain(path)
    try:
        sides = {side: [str(name) for name in splits[fold][key]] for key, side in SIDES.items()}
    except (KeyError, IndexError, TypeError):
        raise UserError(
            f"there is no fold {fold} with train, val and test", where=path, found=repr(splits)[:60]
        ) from None
    known = {task.name for task in tasks}
    if lost := [name for names in sides.values() for name in names if name not in known]:
        raise UserError(f"a fold names the task {lost[0]!r}, which has no data", where=path)
    return make_suite(folder_name(root), tasks, sides, root)


class _Plain(pickle._Unpickler):
    """Reads numbers, texts, lists, tuples and mappings, and nothing that is looked up by a name.

    It is the unpickler in Python, which takes no memory by a number in a damaged file.
    """

    dispatch: ClassVar[dict[int, Any]] = {
        code: read for code, read in pickle._Unpickler.dispatch.items() if code != pickle.BYTEARRAY8[0]
    }

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def read_plain(path: Path) -> Any:
    """Return what a pickle of plain values holds.

    Raises:
        UserError: there is no such file, it is damaged, or it holds anything else.
    """
    try:
        with open_file(path) as file:
            return _Plain(io.BytesIO(file.read())).load()
    except UserError as error:
        raise UserError(str(error), fix="Name the folder that holds the pickles of In-context Tuning.") from None
    except DAMAGE as error:
        expected = "a pickle of numbers, texts, lists and mappings"
        raise UserError(
            "the pickle is damaged, or holds more than data", where=path, found=str(error)[:120], expected=expected
        ) from None


def _mapping(root: Path, name: str) -> dict[Any, Any]:
    found = read_plain(path := inside(root, name))
    if not isinstance(found, dict) or not found:
        raise UserError("this is not a mapping from tasks to their data", where=path, found=type(found).__name__)
    return found


def _verbalizers(root: Path, data: Mapping[Any, Any]) -> dict[Any, list[str]]:
    """Return the verbalizers of each task."""
    if "verbalizers.pkl" in listing(root):
        own = _mapping(root, "verbalizers.pkl")
        if lost := [name for name in data if name not in own]:
            raise UserError(f"the task {lost[0]!r} has no verbalizers", where=inside(root, "verbalizers.pkl"))
        return {name: [str(word) for word in own[name]] for name in data}
    path = inside(root, "class_verbalizers.txt")
    if not path.is_file():
        raise UserError("no verbalizers are here", where=root, expected="class_verbalizers.txt or verbalizers.pkl")
    words = [word.strip() for word in path.read_text(encoding="utf-8").split("\n") if word.strip()]
    return {name: words for name in data}  # noqa: C420 (nothing changes the list)


def _task(
    root: Path, name: str, rows: Any, templates: Sequence[str], words: Sequence[str], options: Mapping[str, str]
) -> Task:
    where, place = f"{root / 'data.pkl'}: task {name}", number(options, "template")
    if not isinstance(rows, list) or not rows:
        raise UserError("the task has no examples", where=where, expected="a list of at least one")
    usable = [text.rstrip(" .") for text in templates if text.rstrip(" .").endswith(LABEL)]
    if place >= len(usable):
        found = f"{len(usable)} templates that end with {LABEL}"
        raise UserError(f"no template {place}", where=f"{root / 'templates.pkl'}: task {name}", found=found)
    labels = tuple(words) if len(words) <= MOST else ()
    items = [(where, _example(row, usable[place], words, labels, where)) for row in rows]
    kind, metric = ("classification", "macro_f1") if labels else ("generation", "exact_match")
    examples = partial(sound, items, labels, options, where)
    return Task(
        name,
        kind,  # type: ignore[arg-type]
        lambda split: divided(examples(), TEST_SHARE, where)[split],
        labels=labels,
        metric=metric,  # type: ignore[arg-type]
        family=name,
        source=name,
        licence=options["licence"],
    )


def _example(row: Any, template: str, words: Sequence[str], labels: tuple[str, ...], where: str) -> Example:
    """Return a row as its template writes it, up to the answer."""
    if not isinstance(row, dict) or not isinstance(row.get(LABEL), int) or not 0 <= row[LABEL] < len(words):
        expected = f"{LABEL}: the index of one of {len(words)} verbalizers, and texts"
        raise UserError("not an example", where=where, found=repr(row)[:60], expected=expected)
    text = template.removesuffix(LABEL)
    for key, value in row.items():
        if key != LABEL:
            text = text.replace(str(key), str(value))
    return Example(text.rstrip(), words[row[LABEL]], labels or None)
