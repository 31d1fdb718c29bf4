"""A suite written for other people's tools: MetaICL's folders, lm-evaluation-harness's YAML, Parquet for `datasets`; or
for ours: folders to edit by hand, one Arrow file for what is larger than memory.

    metaicl     data/<task>/<task>_<k>_<seed>_<split>.jsonl, config/suite.json, config/tasks/<task>.json
    lm-eval     <task>/<task>.yaml with train.jsonl and test.jsonl, suite.json
    datasets    <task>/train.parquet and test.parquet, README.md for `load_dataset`, tables.yaml for our own source
    local       <task>/task.yaml, train.jsonl and test.jsonl, suite.yaml (docs/data.md)
    arrow       suite.json and examples.arrow (task_suites/store.py)

What is written opens again, by the sources of the same names, as the same examples in the same order, and so gives the
same episodes. A layout that cannot hold a task refuses it before anything is written. A folder is written whole or not
at all.
"""

from __future__ import annotations

import re
from pathlib import Path

from task_suites.core.atomic import check_free, new_folder
from task_suites.core.errors import UserError, counted, nearest
from task_suites.export import arrow, datasets_folder, lm_eval, local, metaicl_folder
from task_suites.export.writer import Writer, folder_name
from task_suites.task import TaskSuite

_FILE_NAME = re.compile(r"[\w-][\w.,:+@() -]{0,120}")
WRITERS: dict[str, Writer] = {
    "metaicl": metaicl_folder.WRITER,
    "lm-eval": lm_eval.WRITER,
    "datasets": datasets_folder.WRITER,
    "local": local.WRITER,
    "arrow": arrow.WRITER,
}


def export(suite: TaskSuite, to: str, output: Path) -> str:
    """Write a suite and say how it is opened again.

    Args:
        to: a key of `WRITERS`.
        output: a folder that does not exist or is empty.

    Returns:
        The suite's name for `open_suite`, with the options that give the same examples.

    Raises:
        UserError: an unknown layout, a folder that is not empty, or tasks that the layout cannot hold.
    """
    if to not in WRITERS:
        raise UserError(f"unknown layout {to!r}", fix=nearest(to, WRITERS))
    check_free(output)
    if not suite.tasks:
        raise UserError(
            f"suite {suite.name}: no task is left to export", fix="Choose more with --tasks, --forms or --exclude."
        )
    check(suite, to)
    with new_folder(output) as draft:
        opened = WRITERS[to].write(suite, draft)
    return opened.format(output)


def check(suite: TaskSuite, to: str) -> None:
    """Raise a `UserError` where a layout cannot hold a task, or its name."""
    writer = WRITERS[to]
    problems = [f"{task.name}: {wrong}" for task in suite.tasks.values() if (wrong := writer.problem(task))]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise UserError(
            f"the layout {to} cannot hold {'; '.join(problems[:5])}{more}",
            fix="Choose another layout, or leave them out (--exclude, --forms).",
        )
    for name in suite.tasks if writer.folders else ():
        if not _FILE_NAME.fullmatch(name):
            raise UserError(
                f"{name!r} is not a name of a file", expected="letters, digits, blanks and - _ . , : + @ ( )"
            )
    if writer.folders and len({folder_name(name).casefold() for name in suite.tasks}) < len(suite.tasks):
        fix = "Leave one of them out (--exclude), or rename it."
        raise UserError("names of tasks differ only in case or punctuation", found=sorted(suite.tasks)[:20], fix=fix)


def export_suite(suite: TaskSuite, to: str, output: Path | None) -> str:
    """Export a suite, and return what `metaicl suites export` prints: how the exported suite is opened.

    Raises:
        UserError: no output is named; or see `export`.
    """
    if output is None:
        raise UserError("suites export needs an output folder", fix="Name a new one: --output FOLDER.")
    opened = export(suite, to, output)
    return f"{output} holds {counted(len(suite.tasks), 'task')} and opens as --suite '{opened}'"
