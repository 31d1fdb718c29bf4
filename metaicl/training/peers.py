"""A watch over the other processes of a training: where one dies or hangs, the others end and name it.

Each process publishes a pulse every second, from a thread: how often it has beaten, and how far its work is. One whose
beats stand still has died; one that beats, but has done less than this one for too long, hangs. A training that waits
for it would wait for ever, or until its collective operations give up without a name.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

log = logging.getLogger("metaicl")

CODE = 4  # the exit status of a process that has lost another one
BEAT = 1.0  # seconds between two pulses
DEAD_SECONDS = 60.0  # without a beat: the process is taken to have died
BLAME_SECONDS = 5.0  # the same once a collective operation has failed
UNREACHABLE = 3  # failures in a row to reach where the pulses lie


@dataclass
class Pulse:
    """What is known of another process: its beats and work, and when each last changed."""

    beats: int = -1
    work: int = -1
    beaten: float = field(default_factory=lambda: time.monotonic())
    worked: float = field(default_factory=lambda: time.monotonic())


class Peers:
    """The other processes of a training. By itself a process has none, and nothing is watched.

    Args:
        rank, count: this process's number, and how many there are.
        patience: the seconds for which a process may have done less than this one.
        end: ends this process with a message; other ways than `leave` are for tests.
    """

    def __init__(self, rank: int, count: int, patience: float, end: Callable[[str], None] | None = None):
        self.rank, self.count, self.patience, self.end = rank, count, patience, end or leave
        self.work = 0
        self.others = {other: Pulse() for other in range(count) if other != rank}
        self._waiting = time.monotonic()  # since when this process's work stands
        self._beats = self._failures = 0
        self._stop = threading.Event()

    def advance(self, work: int) -> None:
        """Note how far this process's work is: a number that grows, and by which processes can be compared."""
        self.work, self._waiting = work, time.monotonic()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Return a context in which the others are watched, which all processes enter at about the same time. An error
        in it that comes from losing one names it."""
        if not self.others:
            yield
            return
        self._begin()
        thread = threading.Thread(target=self._watch, args=(_meeting_point(),), daemon=True, name="peers")
        thread.start()
        try:
            yield
        except RuntimeError as error:  # of a collective operation, or of this process's own
            self._blame(error)
            raise
        finally:
            self._stop.set()

    def _begin(self) -> None:
        """Count from now: what came before, such as timing a step, may have taken one process long."""
        self.others = {other: Pulse() for other in self.others}
        self._waiting = time.monotonic()

    def _watch(self, store: Any) -> None:
        while not self._stop.wait(BEAT):
            try:
                self.exchange(store)
                self._failures = 0
            except RuntimeError:  # nobody answers where the pulses lie
                self._failures += 1
            if (message := self.lost()) and not self._stop.is_set():
                self.end(message)

    def exchange(self, store: Any) -> None:
        """Publish this process's pulse, and read those of the others.

        Raises:
            RuntimeError: the store cannot be reached.
        """
        self._beats += 1
        store.set(f"{self.rank}", f"{self._beats} {self.work}")
        for other, known in self.others.items():
            if not store.check([f"{other}"]):
                continue
            beats, work = map(int, store.get(f"{other}").decode().split())
            now = time.monotonic()
            if beats != known.beats:
                known.beats, known.beaten = beats, now
            if work != known.work:
                known.work, known.worked = work, now

    def lost(self) -> str | None:
        """Return which process is lost, in words; None where all are well."""
        now = time.monotonic()
        if self._failures >= UNREACHABLE:
            return f"process 0 of {self.count}, or its launcher, has died: nobody answers at the meeting point"
        for other, known in self.others.items():
            if now - known.beaten > DEAD_SECONDS:
                return f"process {other} of {self.count} has died: no sign of it for {DEAD_SECONDS:.0f} s"
            behind = known.work < self.work
            if behind and min(now - known.worked, now - self._waiting) > self.patience:
                return (
                    f"process {other} of {self.count} hangs: the others have waited for it for {self.patience:.0f} s. "
                    "Where its work takes as long, raise --peer_timeout"
                )
        return None

    def _blame(self, error: RuntimeError) -> None:
        """End this process where another has died: an operation that needs all has failed."""
        before = {other: known.beats for other, known in self.others.items()}
        until = time.monotonic() + BLAME_SECONDS
        while time.monotonic() < until and self._failures < UNREACHABLE:
            time.sleep(BEAT / 4)
        dead = [other for other, beats in before.items() if self.others[other].beats == beats]
        if self._failures:
            self.end(f"process 0 of {self.count}, or its launcher, has died ({_first_line(error)})")
        elif dead:
            names = " and ".join(map(str, dead))
            self.end(f"process {names} of {self.count} has died ({_first_line(error)})")


def leave(message: str) -> None:
    """End this process at once, whatever it waits for."""
    print(f"metaicl: {message}. The same command continues from the newest checkpoint.", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(CODE)


def group_timeout(patience: float) -> Any:
    """Return Accelerate's setting by which collective operations give up, after a process that hangs has been named."""
    from accelerate.utils import InitProcessGroupKwargs

    return InitProcessGroupKwargs(timeout=timedelta(seconds=patience + DEAD_SECONDS))


def _meeting_point() -> Any:
    """Return the store that all processes of a launch reach."""
    from torch.distributed import PrefixStore
    from torch.distributed.distributed_c10d import _get_default_store

    return PrefixStore("metaicl/peers", _get_default_store())


def _first_line(error: RuntimeError) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
