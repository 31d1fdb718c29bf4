"""The examples of one part of a task: in memory or on disk, with an index for draws."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from task_suites.example import Example


class StoredExamples(Sequence[Example]):
    """Examples that are on disk and are made when they are requested. They were checked when they were stored, so that
    opening them reads none (`task_suites.store`)."""

    @abstractmethod
    def outputs(self) -> list[str | None]:
        """Return the outputs of all examples, in order."""

    @abstractmethod
    def content_keys(self) -> Any:
        """Return `content_key` of each example: a NumPy array [examples] of uint64."""


def content_key(content: str) -> int:
    """64 bits that stand for an example's content."""
    return int.from_bytes(hashlib.blake2b(content.encode(), digest_size=8).digest(), "little")


@dataclass(frozen=True)
class PartIndex:
    """What draws ask of one part of a task; each answer is worked out once, and examples in memory or on disk give the
    same."""

    examples: Sequence[Example]

    @cached_property
    def outputs(self) -> list[str | None]:
        """The output of each example."""
        return self._read_outputs()

    @cached_property
    def by_output(self) -> dict[str | None, Sequence[int]]:
        """The positions of each output, ascending."""
        positions: dict[str | None, array[int]] = {}
        for position, output in enumerate(self._read_outputs()):
            if output not in positions:
                positions[output] = array("i")  # four bytes each: millions of examples are indexed
            positions[output].append(position)
        return dict(positions)

    def _read_outputs(self) -> list[str | None]:
        if isinstance(self.examples, StoredExamples):
            return self.examples.outputs()
        return [e.output for e in self.examples]

    @cached_property
    def common_options(self) -> tuple[str, ...]:
        """The options that every example has, in the first one's order; empty where they differ or there are none."""
        first = self.examples[0].options or ()
        return first if all(set(e.options or ()) == set(first) for e in self.examples) else ()

    def find(self, contents: Iterable[str]) -> set[int]:
        """Return the positions of the examples with one of these contents."""
        if not isinstance(self.examples, StoredExamples):
            return {position for content in contents for position in self._by_content.get(content, ())}
        keys = self.examples.content_keys()
        hits = ((content, int(p)) for content in contents for p in (keys == content_key(content)).nonzero()[0])
        return {position for content, position in hits if self.examples[position].content == content}

    @cached_property
    def _by_content(self) -> dict[str, list[int]]:
        positions: dict[str, list[int]] = {}
        for position, example in enumerate(self.examples):
            positions.setdefault(example.content, []).append(position)
        return positions
