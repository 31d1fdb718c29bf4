"""Work of a frozen model that several methods ask for: each piece is done once, and what it took is remembered.

Embeddings of an episode's texts, and the log-probabilities of a row of prompts, are the same for every method on the
same frozen weights. A method that finds a piece done can be charged with the seconds that the piece took
(`saved_seconds`), so that the cost of a method does not hang on which others ran before it.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from torch import Tensor

MOST_BYTES = 256 << 20  # of the results of one model; those that were not used for longest go first
_saved: ContextVar[float] = ContextVar("saved", default=0.0)
_in_use: ContextVar[bool] = ContextVar("in_use", default=True)
_rows: ContextVar[bool] = ContextVar("rows", default=False)


def saved_seconds() -> float:
    """Return the seconds, in all, that results which were found done took when they were made."""
    return _saved.get()


@contextmanager
def nothing_shared() -> Iterator[None]:
    """Return a context in which no result is taken from what was done before, and none is kept."""
    before = _in_use.set(False)
    try:
        yield
    finally:
        _in_use.reset(before)


@contextmanager
def rows_shared() -> Iterator[None]:
    """Return a context in which rows of prompts are kept for other methods: a comparison asks for the same ones."""
    before = _rows.set(True)
    try:
        yield
    finally:
        _rows.reset(before)


def are_rows_shared() -> bool:
    """Return whether rows of prompts are kept here."""
    return _rows.get() and _in_use.get()


class SharedWork:
    """A frozen model's results by key, the most recently used ones.

    A key names everything that a result depends on besides the model's weights. What runs in one pass moves a number by
    rounding, so a key has all that ran together: a result is the same whether it was found here or made.
    """

    def __init__(self, most_bytes: int = MOST_BYTES):
        self._most_bytes, self._bytes = most_bytes, 0
        self._results: OrderedDict[Hashable, tuple[Tensor, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._results)

    def get(self, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """Return the result of this key, which is made where it is not here. It must not be written to."""
        if not _in_use.get():
            return make()
        if key in self._results:
            self._results.move_to_end(key)
            result, seconds = self._results[key]
            _saved.set(_saved.get() + seconds)
            return result
        started = time.monotonic()
        result = make()
        self._results[key] = result, time.monotonic() - started
        self._bytes += result.nbytes
        while self._bytes > self._most_bytes:
            dropped, _ = self._results.popitem(last=False)[1]
            self._bytes -= dropped.nbytes
        return result

    def clear(self) -> None:
        """Forget all results."""
        self._results.clear()
        self._bytes = 0


def row_key(*parts: Sequence[int]) -> bytes:
    """Return a name for what a row of prompts is made of: sequences of numbers."""
    numbers = [number for part in parts for number in (len(part), *part)]
    return hashlib.sha256(np.array(numbers, dtype=np.int64).tobytes()).digest()
