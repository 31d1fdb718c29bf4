"""One Arrow file for a suite that is larger than memory: suite.json and examples.arrow (task_suites/store.py)."""

from __future__ import annotations

from pathlib import Path

from task_suites.export.writer import Writer
from task_suites.store import fill_store
from task_suites.task import TaskSuite


def _write(suite: TaskSuite, folder: Path) -> str:
    fill_store(suite, folder)
    return "arrow:{}"


WRITER = Writer(lambda task: None, _write, folders=False)  # the layout holds whatever a task may be
