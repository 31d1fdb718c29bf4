"""Folders in other people's layouts for tests: written from a mapping of paths, read whole, errors as text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from helpers import REALTASKS

from task_suites import open_suite
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.task import Task


def write(folder: Path, files: Mapping[str, Any]) -> Path:
    """Files by their paths: text and bytes as they are, `.jsonl` from a list of rows, else JSON."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".jsonl") and isinstance(content, list):
            content = "".join(json.dumps(row) + "\n" for row in content)
        if not isinstance(content, (str, bytes)):
            content = json.dumps(content, indent=1)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def error_of(name: str) -> str:
    """Return the one error that opening a suite and reading all of it raises."""
    with pytest.raises(UserError) as raised:
        for task in open_suite(name).tasks.values():
            examples(task)
    return str(raised.value)


def examples(task: Task) -> list[Example]:
    """All examples of a task, train first."""
    return [*task.examples("train"), *task.examples("test")]


def formats(name: str) -> Path:
    """Return a folder of the format samples beside the project, where there are any."""
    folder = REALTASKS.parent / "formats" / name
    if not folder.is_dir():
        pytest.skip("the samples of formats are not here")
    return folder
