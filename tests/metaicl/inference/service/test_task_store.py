"""The store of tasks: what it acknowledged survives a kill, and a full disk changes nothing."""

from __future__ import annotations

import random
import signal
import sqlite3

import pytest
from stores import check_tasks, writing

from metaicl.inference.service.schemas import Demonstration
from metaicl.inference.service.store import NoTask, StoreFull, TaskRecord, TaskStore
from task_suites.core.errors import UserError

DEMOS = tuple(Demonstration(input=f"{i} " + "x" * 3000, output="y") for i in range(4))


@pytest.mark.parametrize("seed", range(2))
def test_a_kill_during_writes_loses_no_acknowledged_task(tmp_path, seed):
    with writing(tmp_path, 2) as (running, acknowledged):
        for _ in range(random.Random(seed).randint(1, 10)):
            acknowledged.append(running.stdout.readline().strip())
        running.send_signal(signal.SIGKILL)
        acknowledged += running.stdout.read().split()
    check_tasks(tmp_path, acknowledged)


def test_a_full_disk_stores_all_of_a_task_or_nothing(tmp_path):
    store = TaskStore(tmp_path / "tasks.sqlite")
    store.add(TaskRecord("first", demonstrations=DEMOS))
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreFull):
        store.add(TaskRecord("second", demonstrations=DEMOS))
    with pytest.raises(NoTask):
        store.get("second")
    assert len(store.get("first").demonstrations) == 4
    store.close()


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "text").write_text("This is not a database. " * 100)
    with pytest.raises(UserError, match="cannot be opened"):
        TaskStore(tmp_path / "text")
    other = sqlite3.connect(tmp_path / "other")
    other.execute("CREATE TABLE tasks (name TEXT)")
    other.close()
    with pytest.raises(UserError, match="cannot be opened"):
        TaskStore(tmp_path / "other")
