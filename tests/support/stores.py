"""A process that writes tasks to a store, and is killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from metaicl.inference.service.store import TaskRecord, TaskStore

WRITER = """
import sys, threading
from pathlib import Path
from metaicl.inference.service.schemas import Demonstration
from metaicl.inference.service.store import TaskRecord, TaskStore
store = TaskStore(Path(sys.argv[1]))
rows = tuple(Demonstration(input=f"{i} " + "x" * 3000, output="y") for i in range(4))
say = threading.Lock()

def write(writer):
    number = 0
    while True:
        task = store.add(TaskRecord(f"{writer}-{number}", demonstrations=rows[:2]))
        from dataclasses import replace
        assert store.extend(replace(task, demonstrations=rows, revision=1), rows[2:])
        with say:
            sys.stdout.write(task.id + "\\n")
            sys.stdout.flush()
        number += 1

for writer in range(int(sys.argv[2])):
    threading.Thread(target=write, args=(writer,)).start()
"""


@contextmanager
def writing(folder: Path, threads: int) -> Iterator[tuple[Any, list[str]]]:
    """A process whose threads write tasks and say each one's id when it is stored, and a list for the ids."""
    command = [sys.executable, "-c", WRITER, str(folder / "tasks.sqlite"), str(threads)]
    root = Path(__file__).resolve().parents[2]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)
    try:
        yield running, []
    finally:
        running.kill()
        running.wait()
        assert running.stdout is not None
        running.stdout.close()


def check_tasks(folder: Path, acknowledged: Sequence[str]) -> None:
    """Check that each acknowledged task is whole, and that no other one is half there."""
    store = TaskStore(folder / "tasks.sqlite")
    try:
        assert acknowledged and store._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        for task in acknowledged:
            assert len(store.get(task).demonstrations) == 4
        listed: list[tuple[TaskRecord, int]] = store.list("", 100_000)
        assert {count for _, count in listed} <= {2, 4} and len(listed) <= len(acknowledged) + 4
    finally:
        store.close()
