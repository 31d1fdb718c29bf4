"""Random orders of positions: shuffles, classes in turn, and how many queries fall to each class.

Each is a function of its arguments and of a generator, which is passed in.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import overload


def shuffled(items: Sequence[int], rng: random.Random, large: bool) -> Iterable[int]:
    if large:
        return lazily_shuffled(items, rng)
    order = list(items)
    rng.shuffle(order)
    return order


def lazily_shuffled(items: Sequence[int], rng: random.Random) -> Iterator[int]:
    """Yield the items in random order, each drawn when it is requested (Fisher and Yates' shuffle from the front; of
    the list that it would permute, only the entries that have moved are kept)."""
    moved: dict[int, int] = {}
    size = len(items)
    for place in range(size):
        chosen = place + int(rng.random() * (size - place))  # half the time of randrange; uneven by some 2^-53
        yield items[moved.get(chosen, chosen)]
        moved[chosen] = moved.pop(place, place)


class Joined(Sequence[int]):
    """Several sequences as one, without copying them."""

    def __init__(self, runs: Sequence[Sequence[int]]):
        self.runs, self.ends = runs, list(accumulate(map(len, runs)))

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    @overload
    def __getitem__(self, at: int) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[int]: ...
    def __getitem__(self, at: int | slice) -> int | Sequence[int]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        run = bisect_right(self.ends, at)
        return self.runs[run][at - (self.ends[run - 1] if run else 0)]


def shares(sizes: Mapping[str, int], total: int) -> dict[str, int]:
    """Return how many of `total` (or of all, if they are fewer) fall to each class that has any: one to each, the
    others to the class that is furthest below its exact share, one by one."""
    whole = sum(sizes.values())
    total = min(total, whole)
    exact = {c: size * total / whole for c, size in sizes.items() if size}
    shares = dict.fromkeys(exact, 1)
    for _ in range(total - len(shares)):
        shares[max(exact, key=lambda c: exact[c] - shares[c])] += 1
    return shares


def turns(sizes: Mapping[str, int], rng: random.Random) -> Iterator[str]:
    """Yield a class for each example, round by round: in each round each class that has one left, in random order."""
    left = {c: size for c, size in sorted(sizes.items()) if size}
    while left:
        turn = list(left)
        rng.shuffle(turn)
        for c in turn:
            yield c
            left[c] -= 1
            if not left[c]:
                del left[c]
