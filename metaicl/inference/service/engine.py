"""The one thread that runs the model. Inputs of one task that wait at the same time are answered together, after the
states of their prompt, which are kept from one request to the next.

    request -- queue -- (all that waits for the same task) -- states of its prompt -- one packed row -- answers

A request waits in a bounded queue; where that is full it is refused at once, with the seconds after which there is
likely to be room. One that takes long is done in parts: after each part the others that wait have one, and where its
client gave up, the rest is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from metaicl.inference.fitted import FittedMethod
from metaicl.inference.service.memory import held_bytes
from metaicl.inference.service.observe import Metrics
from metaicl.methods.predictor import Answer
from task_suites.core.errors import UserError
from task_suites.example import Example

log = logging.getLogger("metaicl.service")


class Busy(Exception):
    """The queue is full. `seconds`: when there is likely to be room."""

    def __init__(self, seconds: int):
        super().__init__(f"try again in {seconds} s")
        self.seconds = seconds


class Closing(Exception):
    """The service is stopping and takes no more work."""


@dataclass(eq=False)
class Work:
    """Something for the model's thread: the queries of a fitted task, or any function that needs the model.

    Attributes:
        key: the task, and a hash of what it is learned from; works of one key with queries are answered together.
        make: makes the fitted task, given one of fewer demonstrations where there is one; None where none is needed.
        queries: what is answered, with how many demonstrations were left out; empty where `run` is called instead.
        run: what is done with the fitted task; a generator is run on to its next `yield` at each turn.
        size: how much of the queue it takes.
        done: the answers so far.
    """

    key: tuple[Hashable, str]
    make: Callable[[FittedMethod | None], FittedMethod] | None
    queries: Sequence[Example] = ()
    run: Callable[[Any], Any] | Generator[None, None, Any] | None = None
    size: int = 1
    done: list[Answer] = field(default_factory=list)
    future: asyncio.Future[Any] = field(init=False)
    loop: asyncio.AbstractEventLoop = field(init=False)

    def finish(self, result: Any) -> None:
        """Hand the result, or an error, to the request that waits for it."""
        self.loop.call_soon_threadsafe(_settle, self.future, result)


def _settle(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():  # the client gave up
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)


@dataclass
class Kept:
    """A fitted task that is kept.

    Attributes:
        content: the hash of what it was learned from.
        fitted: the task.
        uses: the number of works that used it.
        held: its memory in bytes, as last measured: it may grow while it answers.
    """

    content: str
    fitted: FittedMethod
    uses: int = 0
    held: int = 0

    def used(self) -> None:
        """Count a use, and measure at the first one, the second one, the fourth one, ..."""
        self.uses += 1
        if self.uses & (self.uses - 1) == 0:
            method = self.fitted.method
            backbone = getattr(method, "backbone", None)
            self.held = held_bytes(self.fitted, (method, backbone, getattr(backbone, "model", None)))


class Engine:
    """Runs works one after the other on a thread of its own.

    Args:
        memory: bytes of states of prompts that are kept.
        batch: most queries that are answered together.
        waiting: most queries in the queue.
    """

    def __init__(self, memory: float, batch: int, waiting: int, metrics: Metrics):
        self.memory, self.batch, self.waiting, self.metrics = memory, batch, waiting, metrics
        self._fitted: OrderedDict[Hashable, Kept] = OrderedDict()
        self._queue: deque[Work] = deque()
        self._forgotten: deque[Hashable] = deque()
        self._size, self._closing, self._rate = 0, False, 10.0  # queries a second, as seen lately
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._loop, name="model", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def close(self) -> None:
        """Finish what was accepted, take nothing more, and return when all is done."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    async def do(self, work: Work, timeout: float) -> Any:
        """Queue a work and return its result.

        Raises:
            Busy: the queue is full.
            Closing: the service is stopping.
            TimeoutError: it was not done in time; it is skipped where it has not begun.
        """
        work.loop = asyncio.get_running_loop()
        work.future = work.loop.create_future()
        with self._changed:
            if self._closing:
                raise Closing
            if self._size and self._size + work.size > self.waiting:
                raise Busy(max(1, min(60, round(self._size / max(self._rate, 0.1)))))
            self._queue.append(work)
            self._size += work.size
            self._changed.notify()
        async with asyncio.timeout(timeout):
            return await work.future

    @property
    def is_ready(self) -> bool:
        """Whether work is taken."""
        return self._thread.is_alive() and not self._closing

    @property
    def queued(self) -> int:
        """The number of queries that wait."""
        return self._size

    @property
    def kept_bytes(self) -> int:
        """The memory of all kept states."""
        return sum(one.held for one in list(self._fitted.values()))

    def forget(self, task: Hashable) -> None:
        """Drop the states of a task that was deleted, after the next work."""
        self._forgotten.append(task)

    def _loop(self) -> None:
        while works := self._next():
            started = time.monotonic()
            try:
                self._run(works)
                self._used(works[0].key[0])
            except Exception as error:
                log.exception("the model's thread failed")
                for work in works:
                    work.finish(error)
            count, seconds = sum(min(w.size, self.batch) for w in works), time.monotonic() - started
            self._rate += 0.2 * (count / max(seconds, 1e-4) - self._rate)

    def _next(self) -> list[Work]:
        """Wait for work and return what is done together; nothing when all is done and the service stops."""
        with self._changed:
            while True:
                while not self._queue:
                    if self._closing:
                        return []
                    self._changed.wait()
                works: list[Work] = []
                rest, room = deque[Work](), self.batch
                for work in self._queue:
                    first = works[0] if works else work
                    joins = not works or (bool(work.queries) and bool(first.queries) and work.key == first.key)
                    if work.future.done():  # given up
                        self._size -= work.size
                    elif joins and (not works or len(work.queries) - len(work.done) <= room):
                        works.append(work)
                        room -= len(work.queries) - len(work.done)
                        self._size -= work.size
                    else:
                        rest.append(work)
                self._queue = rest
                if works:
                    return works

    def _run(self, works: list[Work]) -> None:
        """Do one turn of works of one key."""
        first = works[0]
        try:
            if isinstance(first.run, Generator):
                self._step(first, first.run)
                return
            fitted = self._of(first)
            if first.run is not None:
                found = first.run(fitted)
                if isinstance(found, Generator):
                    first.run = found
                    self._step(first, found)
                else:
                    first.finish(found)
                return
            parts = [work.queries[len(work.done) : len(work.done) + self.batch] for work in works]
            queries = [query for part in parts for query in part]
            answers = fitted.answers(queries) if fitted is not None else []
            dropped = fitted.dropped if fitted is not None else 0
        except UserError as error:
            if len(works) == 1:
                first.finish(error)
            else:  # one of them is at fault, and the others are not
                for work in works:
                    self._run([work])
            return
        self.metrics.batch.observe(len(queries))
        start = 0
        for work, part in zip(works, parts, strict=True):
            work.done += answers[start : start + len(part)]
            start += len(part)
            if len(work.done) == len(work.queries):
                work.finish((work.done, dropped))
            else:
                self._later(work)

    def _step(self, work: Work, steps: Generator[None, None, Any]) -> None:
        """Run a work on to its next stop."""
        try:
            next(steps)
        except StopIteration as end:
            work.finish(end.value)
        else:
            self._later(work)

    def _later(self, work: Work) -> None:
        """Put a work that is not done at the end of the queue."""
        with self._changed:
            self._queue.append(work)
            self._size += work.size

    def _of(self, work: Work) -> FittedMethod | None:
        """Return the fitted task of a work, from those kept or made now; the ones used longest ago make room."""
        if work.make is None:
            return None
        task, content = work.key
        found = self._fitted.pop(task, None)
        is_kept = found is not None and found.content == content
        self.metrics.prefixes.labels("kept" if is_kept else "made").inc()
        if found is None or not is_kept:
            found = Kept(content, work.make(found.fitted if found else None))
        self._fitted[task] = found
        return found.fitted

    def _used(self, task: Hashable) -> None:
        """Count a use of a fitted task; those that were deleted and those used longest ago make room."""
        while self._forgotten:
            self._fitted.pop(self._forgotten.popleft(), None)
        if task in self._fitted:
            self._fitted[task].used()
        while len(self._fitted) > 1 and (self.kept_bytes > self.memory or len(self._fitted) > 1000):
            self._fitted.popitem(last=False)
            self.metrics.evicted.inc()
        self.metrics.kept_bytes.set(self.kept_bytes)
