"""The tasks in a SQLite file: what was written is there after a restart, and a change of an old revision is none."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from metaicl.inference.service.schemas import Demonstration
from metaicl.inference.service.store import NoTask, TaskRecord, TaskStore
from task_suites.core.errors import UserError

DEMOS = tuple(Demonstration(input=f"caffè {i}", output="ab"[i % 2]) for i in range(3))
TASK = TaskRecord("t1", "name", "Say it.", "knn", {"neighbours": 3}, ("a", "b"), demonstrations=DEMOS)


@pytest.fixture
def store(tmp_path):
    made = TaskStore(tmp_path / "tasks.sqlite")
    yield made
    made.close()


def test_a_task_comes_back_as_it_was_also_after_a_restart(store):
    added = store.add(TASK)
    assert added.created > 1.6e9 and replace(added, created=0.0) == TASK
    assert store.get("t1") == added
    store.close()
    again = TaskStore(store.path)
    assert again.get("t1") == added and again.count() == 1
    again.close()


def test_more_demonstrations_stand_at_the_end_in_their_order(store):
    first = store.add(TASK)
    more = tuple(Demonstration(input=f"more {i}", output="a") for i in range(12))  # positions of two digits too
    second = replace(first, demonstrations=(*DEMOS, *more), revision=1)
    assert store.extend(second, more)
    assert store.get("t1") == second


def test_a_change_of_a_revision_that_somebody_else_changed_is_none(store):
    first = store.add(TASK)
    for i in range(2):  # both read the first revision
        more = (Demonstration(input=f"more {i}", output="a"),)
        assert store.extend(replace(first, demonstrations=(*DEMOS, *more), revision=1), more) is (i == 0)
    assert store.get("t1").demonstrations[-1].input == "more 0"
    assert not store.extend(replace(first, id="none", revision=1), ())


def test_tasks_are_listed_by_id_in_pages_with_the_number_of_demonstrations(store):
    for name in ("c", "a", "b", "d"):
        store.add(replace(TASK, id=name, demonstrations=DEMOS[: ord(name) % 3]))
    assert [(r.id, count) for r, count in store.list("", 3)] == [("a", 1), ("b", 2), ("c", 0)]
    assert [r.id for r, _ in store.list("c", 3)] == ["d"]
    assert store.list("", 9)[0][0].demonstrations == ()


def test_a_deleted_task_is_gone_with_its_demonstrations(store):
    store.add(TASK)
    store.delete("t1")
    for call in (store.get, store.delete):
        with pytest.raises(NoTask):
            call("t1")
    store.add(replace(TASK, demonstrations=DEMOS[:1]))  # under the same id: nothing of the old one is left
    assert store.get("t1").demonstrations == DEMOS[:1]


def test_a_write_that_fails_leaves_nothing(store):
    store.add(TASK)
    with pytest.raises(sqlite3.IntegrityError):
        store.add(replace(TASK, name="the same id"))
    assert (store.get("t1").name, store.count()) == ("name", 1)
    store.add(replace(TASK, id="t2"))  # and the next one is taken


def test_threads_that_write_together_lose_nothing(store):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: store.add(replace(TASK, id=f"t{i:02}")), range(40)))
    assert store.count() == 40
    assert all(store.get(r.id).demonstrations == DEMOS for r, _ in store.list("", 100))


@pytest.mark.parametrize("content", [b"not a database, but long enough to be looked at" * 40, None])
def test_a_file_that_is_not_ours_is_refused_by_its_path(tmp_path, content):
    path = tmp_path / "x.sqlite"
    if content:
        path.write_bytes(content)
    else:
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE tasks (something TEXT)")
        other.close()
    with pytest.raises(UserError, match=r"x\.sqlite: the tasks cannot be opened .*--database"):
        TaskStore(path)
