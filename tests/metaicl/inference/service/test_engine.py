"""The thread that runs the model, with tasks that answer by a script: what is answered together, what is refused."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import Any

import pytest

from metaicl.inference.service.engine import Busy, Closing, Engine, Work
from metaicl.inference.service.observe import Metrics
from task_suites.core.errors import UserError
from task_suites.example import Example


class Fitted:
    """A fitted task that answers each query by its text, and counts its calls."""

    dropped = 2

    def __init__(self, name: str = "", held: int = 0):
        self.name, self.state_bytes, self.calls, self.method = name, held, [], None

    def answers(self, queries):
        self.calls.append(len(queries))
        if any(q.input == "unsound" for q in queries):
            raise UserError("an unsound query")
        return [q.input.upper() for q in queries]


@contextmanager
def engine(begin: bool = True, **changes: Any):
    made = Engine(**{"memory": 1e9, "batch": 4, "waiting": 8, "metrics": Metrics(), **changes})
    if begin:
        made.start()
    yield made
    if not begin:
        made.start()
    made.close()


def work(fitted: Any, *texts: str, key: str = "task", content: str = "1") -> Work:
    return Work((key, content), lambda before: fitted, [Example(text) for text in texts], size=len(texts))


async def together(made: Engine, works: list[Work]) -> list[Any]:
    """Queue all works before the thread begins, and return their results or errors."""
    tasks = [asyncio.ensure_future(made.do(one, 10)) for one in works]
    await asyncio.sleep(0.01)
    made.start()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    made.close()
    return found


def run(works: list[Work], **changes: Any) -> list[Any]:
    made = Engine(**{"memory": 1e9, "batch": 4, "waiting": 100, "metrics": Metrics(), **changes})
    return asyncio.run(together(made, works))


def test_queries_of_one_task_are_answered_together_and_each_request_gets_its_own():
    one, other = Fitted(), Fitted()
    found = run([work(one, "a", "b"), work(other, "x", key="other"), work(one, "c")])
    assert found == [(["A", "B"], 2), (["X"], 2), (["C"], 2)]
    assert one.calls == [3] and other.calls == [1]


def test_no_more_are_answered_together_than_fit_a_batch():
    fitted = Fitted()
    found = run([work(fitted, *"abc"), work(fitted, *"de"), work(fitted, "f")])
    assert [answers for answers, _ in found] == [list("ABC"), list("DE"), ["F"]]
    assert max(fitted.calls) <= 4 and sum(fitted.calls) == 6


def test_another_revision_of_a_task_is_not_answered_with_the_one_before():
    before = []
    new = Fitted("new")

    def make(found):
        before.append(found)
        return new

    old = Fitted("old")
    second = Work(("task", "2"), make, [Example("b")])
    assert [answers for answers, _ in run([work(old, "a"), second])] == [["A"], ["B"]]
    assert old.calls == [1] and new.calls == [1]
    assert len(before) == 1  # made once, from the earlier revision


def test_one_unsound_request_does_not_spoil_the_others():
    fitted = Fitted()
    found = run([work(fitted, "a"), work(fitted, "unsound"), work(fitted, "c")])
    assert (found[0], found[2]) == ((["A"], 2), (["C"], 2))
    assert isinstance(found[1], UserError)


def test_a_bug_is_the_requests_error_and_the_thread_goes_on():
    class Broken(Fitted):
        def answers(self, queries):
            raise ZeroDivisionError

    found = run([work(Broken(), "a", key="broken"), work(Fitted(), "b")])
    assert isinstance(found[0], ZeroDivisionError) and found[1] == (["B"], 2)


def test_a_full_queue_refuses_with_seconds_and_one_that_is_empty_takes_what_is_larger_than_it():
    async def tried(made: Engine):
        large = asyncio.ensure_future(made.do(work(Fitted(), *"abcdefghij"), 10))
        await asyncio.sleep(0.01)
        with pytest.raises(Busy) as busy:
            await made.do(work(Fitted(), "x"), 10)
        assert 1 <= busy.value.seconds <= 60 and made.queued == 10
        made.start()
        assert len((await large)[0]) == 10
        assert made.queued == 0
        made.close()

    asyncio.run(tried(Engine(1e9, 4, 8, Metrics())))


def test_what_was_given_up_before_it_began_is_not_answered():
    fitted = Fitted()

    async def tried(made: Engine):
        with pytest.raises(TimeoutError):
            await made.do(work(fitted, "a"), 0.01)
        made.start()
        assert await made.do(work(fitted, "b"), 10) == (["B"], 2)
        made.close()

    asyncio.run(tried(Engine(1e9, 4, 8, Metrics())))
    assert fitted.calls == [1]


def test_an_engine_that_closes_finishes_what_it_took_and_takes_no_more():
    entered, leave = threading.Event(), threading.Event()

    async def tried(made: Engine):
        def slow(_):
            entered.set()
            leave.wait(10)
            return "done"

        taken = asyncio.ensure_future(made.do(Work(("x", ""), None, run=slow), 10))
        await asyncio.to_thread(entered.wait, 10)
        closing = asyncio.ensure_future(asyncio.to_thread(made.close))
        while made.is_ready:
            await asyncio.sleep(0.001)
        with pytest.raises(Closing):
            await made.do(Work(("y", ""), None, run=slow), 10)
        leave.set()
        assert await taken == "done"
        await closing

    made = Engine(1e9, 4, 8, Metrics())
    made.start()
    asyncio.run(tried(made))
    assert not made.is_ready


def test_states_are_made_once_for_a_task_until_it_is_forgotten():
    made_of = []

    def of(key: str) -> Work:
        def make(before):
            made_of.append(key)
            return Fitted(key)

        return Work((key, "1"), make, [Example("a")])

    async def tried(made: Engine):
        for key in ("a", "b", "a"):
            await made.do(of(key), 10)
        made.forget("a")
        await made.do(of("b"), 10)  # its end is the time to forget
        await made.do(of("a"), 10)

    with engine() as made:
        asyncio.run(tried(made))
    assert made_of == ["a", "b", "a"]
    assert b'metaicl_prefixes_total{from="kept"} 2.0' in made.metrics.text()
