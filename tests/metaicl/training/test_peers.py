"""A process that dies or hangs ends the others within a stated time, and they name it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from metaicl.training import peers
from metaicl.training.peers import CODE, Peers

ROOT = Path(__file__).resolve().parents[3]


class Store(dict[str, bytes]):
    """What all processes reach, in one process."""

    def set(self, key: str, value: str) -> None:
        self[key] = value.encode()

    def check(self, keys: list[str]) -> bool:
        return all(key in self for key in keys)


def pair(patience: float = 100.0) -> tuple[Peers, Peers, Store]:
    return Peers(0, 2, patience), Peers(1, 2, patience), Store()


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(peers.time, "monotonic", lambda: now[0])
    return now


def test_processes_that_beat_and_work_are_well(clock):
    one, two, store = pair()
    for step in range(300):
        clock[0] += 1
        for each in (one, two):
            each.advance(step)
            each.exchange(store)
            assert each.lost() is None


def test_a_process_without_a_beat_has_died(clock):
    one, two, store = pair()
    two.exchange(store)
    one.exchange(store)
    clock[0] += peers.DEAD_SECONDS - 1
    one.exchange(store)
    assert one.lost() is None
    clock[0] += 2
    one.exchange(store)
    assert "process 1 of 2 has died: no sign of it for 60 s" in (one.lost() or "")


def test_a_process_that_never_came_has_died(clock):
    one, _, store = pair()
    clock[0] += peers.DEAD_SECONDS + 1
    one.exchange(store)
    assert "process 1 of 2 has died" in (one.lost() or "")


def test_a_process_that_beats_but_is_behind_hangs_and_is_not_blamed_for_less(clock):
    one, two, store = pair(patience=100)
    two.advance(4)
    one.advance(5)
    for second in range(140):
        clock[0] += 1
        two.exchange(store)
        one.exchange(store)
        assert two.lost() is None  # it is ahead of nobody
        assert (one.lost() is not None) == (second > 100)
    assert "process 1 of 2 hangs: the others have waited for it for 100 s" in (one.lost() or "")
    assert "--peer_timeout" in (one.lost() or "")
    two.advance(5)
    two.exchange(store)
    one.exchange(store)
    assert one.lost() is None


def test_what_came_before_the_watch_does_not_count(clock):
    one, _, store = pair()
    clock[0] += 10 * peers.DEAD_SECONDS
    one._begin()
    one.exchange(store)
    assert one.lost() is None


def test_a_process_by_itself_watches_nobody():
    with Peers(0, 1, 1.0).watched():
        assert "peers" not in [thread.name for thread in threading.enumerate()]


def end_of(folder: Path, how: str) -> tuple[int, str]:
    """Return the exit status and the words of the process that is left."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    support = ROOT / "tests" / "support"
    meeting = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    base = {**os.environ, **meeting, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(support / "peer.py"), str(folder), how]
    processes = [
        subprocess.Popen(
            command,
            env={**base, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=(folder / f"{rank}.txt").open("w"),
        )
        for rank in (0, 1)
    ]
    left = processes[1 - int(how[-1])]
    try:
        status = left.wait(timeout=300)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return status, (folder / f"{1 - int(how[-1])}.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("dies-1", r"process 1 of 2 has died"),
        ("dies-0", r"process 0 of 2, or its launcher, has died"),
        ("stops-1", r"process 1 of 2 has died: no sign of it for 20 s"),
        ("hangs-1", r"process 1 of 2 hangs: the others have waited for it for 30 s.*--peer_timeout"),
    ],
)
def test_the_process_that_is_left_ends_and_names_the_one_that_is_lost(tmp_path, how, words):
    status, said = end_of(tmp_path, how)
    assert status == CODE, said[-2000:]
    assert re.search(rf"metaicl: {words}.*continues from the newest checkpoint", said), said[-2000:]
