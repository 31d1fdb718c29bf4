"""The tasks of the service in one SQLite file. What was acknowledged is on disk, and a restart finds it."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from metaicl.inference.service.schemas import Demonstration, Options
from task_suites.core.errors import UserError

log = logging.getLogger("metaicl.service")
SCHEMA = """
CREATE TABLE IF NOT EXISTS tasks (id TEXT PRIMARY KEY, head TEXT NOT NULL, revision INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS demonstrations (
  task TEXT NOT NULL REFERENCES tasks(id) ON DELETE CASCADE, position INTEGER NOT NULL, content TEXT NOT NULL,
  PRIMARY KEY (task, position)
) STRICT, WITHOUT ROWID;
"""
FULL = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_IOERR_SHMSIZE,
}


class StoreFull(Exception):
    """The disk is full; nothing was written."""


class StoreAway(Exception):
    """The file cannot be read or written now: another process holds it, or the disk is broken or read-only."""


class NoTask(Exception):
    """The id belongs to none of the tasks."""


@dataclass(frozen=True)
class TaskRecord:
    """A task as it is stored.

    Attributes:
        id: made by the service.
        name: given by the client, for people.
        instruction: what to do.
        method: the method; None is the service's.
        options: those of the method.
        labels: the classes; empty where the demonstrations have none.
        created: seconds since 1970.
        demonstrations: as they were given.
        revision: the number of changes so far.
    """

    id: str
    name: str = ""
    instruction: str = ""
    method: str | None = None
    options: Options = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    created: float = 0.0
    demonstrations: tuple[Demonstration, ...] = ()
    revision: int = 0


class TaskStore:
    """Tasks in a SQLite file, for several threads.

    Raises:
        UserError: the file cannot be opened, or is not ours.
    """

    def __init__(self, path: Path):
        self.path, self._lock = path, threading.Lock()
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")  # a write is on disk before it is acknowledged
            self._db.execute("PRAGMA foreign_keys=ON")
            self._db.executescript(SCHEMA)
            self._db.execute("SELECT id, head, revision FROM tasks LIMIT 1")
        except sqlite3.Error as error:
            fix = "Give another file with --database."
            raise UserError(f"the tasks cannot be opened ({error})", where=path, fix=fix) from None

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._db
            except sqlite3.OperationalError as error:
                log.error("the store failed", extra={"facts": {"sqlite": error.sqlite_errorname}})
                raise (StoreFull if error.sqlite_errorcode in FULL else StoreAway) from None

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._using() as db:
            try:
                db.execute("BEGIN IMMEDIATE")
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def add(self, record: TaskRecord) -> TaskRecord:
        """Store a new task and return it with the time.

        Raises:
            StoreFull: the disk is full.
        """
        record = replace(record, created=time.time())
        with self._writing() as db:
            db.execute("INSERT INTO tasks VALUES (?, ?, ?)", (record.id, _head(record), record.revision))
            _append(db, record.id, 0, record.demonstrations)
        return record

    def extend(self, record: TaskRecord, more: Sequence[Demonstration]) -> bool:
        """Store `record`, which has the demonstrations `more` at its end, over its last revision; false where
        somebody else changed the task in between.

        Raises:
            StoreFull: the disk is full.
        """
        with self._writing() as db:
            changed = db.execute(
                "UPDATE tasks SET head = ?, revision = ? WHERE id = ? AND revision = ?",
                (_head(record), record.revision, record.id, record.revision - 1),
            ).rowcount
            if changed:
                _append(db, record.id, len(record.demonstrations) - len(more), more)
        return bool(changed)

    def get(self, task: str) -> TaskRecord:
        """Return a task.

        Raises:
            NoTask: there is none.
        """
        with self._using() as db:
            row = db.execute("SELECT head, revision FROM tasks WHERE id = ?", (task,)).fetchone()
            if row is None:
                raise NoTask(task)
            found = db.execute("SELECT content FROM demonstrations WHERE task = ? ORDER BY position", (task,))
            demonstrations = tuple(Demonstration(**json.loads(content)) for (content,) in found)
        return _record(task, row[0], row[1], demonstrations)

    def list(self, after: str, limit: int) -> list[tuple[TaskRecord, int]]:
        """Return tasks without their demonstrations, with the number of these, by id from the one after `after`."""
        query = """SELECT id, head, revision, (SELECT count(*) FROM demonstrations WHERE task = id)
                   FROM tasks WHERE id > ? ORDER BY id LIMIT ?"""
        with self._using() as db:
            rows = db.execute(query, (after, limit)).fetchall()
        return [(_record(task, head, revision, ()), count) for task, head, revision, count in rows]

    def count(self) -> int:
        """Return the number of tasks."""
        with self._using() as db:
            return int(db.execute("SELECT count(*) FROM tasks").fetchone()[0])

    def delete(self, task: str) -> None:
        """Delete a task.

        Raises:
            NoTask: there is none.
        """
        with self._writing() as db:
            if not db.execute("DELETE FROM tasks WHERE id = ?", (task,)).rowcount:
                raise NoTask(task)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()


def _head(record: TaskRecord) -> str:
    columns = ("id", "demonstrations", "revision")
    return json.dumps({f.name: getattr(record, f.name) for f in fields(record) if f.name not in columns})


def _record(task: str, head: str, revision: int, demonstrations: tuple[Demonstration, ...]) -> TaskRecord:
    values = json.loads(head)
    values["labels"] = tuple(values["labels"])
    return TaskRecord(task, **values, demonstrations=demonstrations, revision=revision)


def _append(db: sqlite3.Connection, task: str, start: int, more: Sequence[Demonstration]) -> None:
    content = [(task, start + i, json.dumps(one.row())) for i, one in enumerate(more)]
    db.executemany("INSERT INTO demonstrations VALUES (?, ?, ?)", content)
