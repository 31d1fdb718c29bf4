"""`Episode` and `EpisodeSampler`: support and query draws that are pure functions of names.

A draw depends on (seed, task, meta-split role, index) and on nothing else: not on the call order, the number of
processes, the batch size or the other tasks. Support sets are nested: the draw with k=4 is the start of that with k=16.

The size of the part that is drawn from decides on the algorithm, in memory as on disk: up to `LARGE`
examples the whole part is shuffled; beyond it the shuffle goes only as far as the draw reaches (`lazily_shuffled`), so
that a draw costs as many steps as it has examples. Both give every order the same chance; their draws differ.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Literal

from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.formats.label_words import arbitrary
from task_suites.orders import Joined, lazily_shuffled, shares, shuffled, turns
from task_suites.parts import PartIndex
from task_suites.task import Task

EpisodeKey = tuple[int, str, str, int]
LARGE = 2048  # the suites that were measured have parts of at most 1,500 examples: their draws are whole shuffles


@dataclass(frozen=True)
class Episode:
    """One draw from one task: a support set (the shots) and a query set which never share an example.

    Attributes:
        key: (seed, task name, role, index); every later random choice about the episode derives from it.
        task: where the examples come from; its labels may have been replaced in this episode's examples.
        support: the k demonstrations, in prompt order.
        queries: the answered queries. A method's `forward` reads the answers (it trains on them); a `Predictor` is
            only ever given `hidden()` copies.
    """

    key: EpisodeKey
    task: Task
    support: tuple[Example, ...]
    queries: tuple[Example, ...]

    def __post_init__(self) -> None:
        shared = {e.content for e in self.support} & {e.content for e in self.queries}
        if shared:
            raise UserError(
                f"episode {self.key}: {len(shared)} queries are also demonstrations",
                found=repr(min(shared)[:80]),
                expected="support and query sets disjoint by content",
            )

    def rng(self, purpose: str) -> random.Random:
        """Return a generator for one purpose, seeded by the episode's key only."""
        return _rng(self.key, purpose)

    def relabelled(self) -> Episode:
        """Return the episode with each label of a fixed label list replaced by an arbitrary word, the same word
        throughout.

        Episodes whose options are each example's own, or that have none, come back unchanged.
        """
        if not self.task.labels or not self.queries or self.queries[0].form != "options":
            return self
        words = arbitrary(self.task.labels, self.rng("relabel"))
        if words is None:
            return self
        new = dict(zip(self.task.labels, words, strict=True))

        def change(e: Example) -> Example:
            assert e.output is not None and e.options is not None
            options, accepted = (tuple(new[o] for o in os) for os in (e.options, e.accepted))
            return replace(e, output=new[e.output], options=options, accepted=accepted)

        return replace(self, support=tuple(map(change, self.support)), queries=tuple(map(change, self.queries)))


@dataclass(frozen=True)
class EpisodeSampler:
    """Draws episodes.

    Attributes:
        seed: the run's seed.
        k: demonstrations; in all, or of each class when `per_class`.
        queries: queries an episode (fewer where the task has no more).
        balance: "balanced" takes the classes in turn as far as they reach; "natural" draws without regard to class.
        per_class: k counts the examples of each class.
        stratified: queries have the class shares of the part that they are drawn from, rounded, and at least one of
            each class; else (and where the classes are more than the queries) they are drawn without regard to class.
        max_classes: at most this many classes take part in an episode, drawn for each (training only: with 16 shots of
            77 classes most queries could not be answered). Options shrink to the classes that take part.
        arbitrary_labels: the share of episodes whose label words are replaced by arbitrary ones.

    Raises:
        UserError: a setting out of its range; from `draw`, the task has not enough examples for k.
    """

    seed: int
    k: int
    queries: int
    balance: Literal["balanced", "natural"] = "balanced"
    per_class: bool = False
    stratified: bool = False
    max_classes: int | None = None
    arbitrary_labels: float = 0.0

    def __post_init__(self) -> None:
        for name, sound, expected in (
            ("k", self.k >= 0, "0 or more"),
            ("queries", self.queries >= 1, "at least 1"),
            ("balance", self.balance in ("balanced", "natural"), "balanced or natural"),
            ("max_classes", not self.max_classes or self.max_classes >= 2, "at least 2, or 0 or None for all"),
            ("arbitrary_labels", 0 <= self.arbitrary_labels <= 1, "between 0 and 1"),
        ):
            if not sound:
                raise UserError(f"{name} must be {expected}, but is {getattr(self, name)!r}")

    def draw(self, task: Task, role: str, index: int, support: Sequence[Example] | None = None) -> Episode:
        """Return the episode number `index` of a task.

        `role` is "test" (support from the task's train examples, queries from its test examples) or "train" (both from
        its train examples). A `support` that is given (fixed or retrieved demonstrations) is taken as it is instead of
        a draw by `k`, `balance` and `per_class`; queries are drawn beside it as always.

        Raises:
            UserError: the task has too few examples for k, or none is left to be a query; an unknown role; or a given
                support set together with `max_classes`.
        """
        key = (self.seed, task.name, role, index)
        if role not in ("train", "test"):
            raise UserError(f"unknown role {role!r}", expected="train or test")
        if support is not None and self.max_classes:
            raise UserError(
                "a given support set and max_classes exclude each other",
                expected="one of the two",
                fix="Unset max_classes.",
            )
        train = task.index("train")
        part = task.index("test") if role == "test" else train
        classes, only = _classes(task), None
        if self.max_classes and len(classes) > self.max_classes:
            classes = [c for c in classes if c in train.by_output]
            classes = _rng(key, "classes").sample(classes, min(len(classes), self.max_classes))
            only = frozenset(classes)
        if support is None:
            places = self._support(train, classes, only is not None, key)
            support = [train.examples[i] for i in places]
        queries = self._queries(part, classes, only is not None, {e.content for e in support}, key)
        if not queries:
            few = len({e.content for e in part.examples}) < 2 or not support
            raise UserError(
                f"task {task.name}: no query is left beside the {len(support)} demonstrations",
                found=f"{len(part.examples)} examples to draw queries from",
                fix="Add different examples to the task." if few else "Lower k, or add examples to the task.",
            )
        if only is not None:
            support, queries = [_shrunk(e, only) for e in support], [_shrunk(e, only) for e in queries]
        episode = Episode(key, task, tuple(support), tuple(queries))
        if self.arbitrary_labels and _rng(key, "arbitrary").random() < self.arbitrary_labels:
            return episode.relabelled()
        return episode

    def _support(self, part: PartIndex, classes: Sequence[str], limited: bool, key: EpisodeKey) -> Iterable[int]:
        """Return the positions of the demonstrations."""
        sizes = {c: len(part.by_output.get(c, ())) for c in classes}
        size = sum(sizes.values()) if limited else len(part.examples)
        if self.per_class and classes:
            name = min(sizes, key=sizes.__getitem__)
            if sizes[name] < self.k:
                raise UserError(
                    f"task {key[1]}: class {name!r} has {sizes[name]} examples",
                    expected=f"at least k={self.k}",
                    fix="Lower k." if sizes[name] else f"Take {name!r} out of the task's labels, or unset per_class.",
                )
        wanted = self.k * max(1, len(classes)) if self.per_class else self.k
        if wanted > size:
            raise UserError(
                f"task {key[1]}: k={self.k} asks for {wanted} demonstrations",
                found=f"{size} examples",
                fix="Lower k.",
            )
        rng, large = _rng(key, "support"), len(part.examples) > LARGE
        balanced = bool(classes) and (self.balance == "balanced" or self.per_class)
        if not balanced:
            return islice(shuffled(_positions(part, classes if limited else None), rng, large), wanted)
        if large:  # the classes share the generator; their turns are the same for every k, so draws stay nested
            queues = {c: lazily_shuffled(part.by_output.get(c, ()), rng) for c in classes}
        else:
            outputs, by_class = part.outputs, {c: list[int]() for c in classes}
            for i in shuffled(_positions(part, classes if limited else None), rng, large):
                by_class[outputs[i]].append(i)  # type: ignore[index]
            queues = {c: iter(places) for c, places in by_class.items()}
        return [next(queues[c]) for c in islice(turns(sizes, _rng(key, "turns")), wanted)]

    def _queries(
        self, part: PartIndex, classes: Sequence[str], limited: bool, seen: set[str], key: EpisodeKey
    ) -> list[Example]:
        rng = _rng(key, "queries")
        if self.stratified and 0 < len(classes) <= self.queries:
            return [part.examples[i] for i in self._stratified(part, classes, part.find(seen), rng)]
        positions = _positions(part, classes if limited else None)
        if len(part.examples) > LARGE:
            found = (part.examples[i] for i in lazily_shuffled(positions, rng))
            return list(islice((e for e in found if e.content not in seen), self.queries))
        taken = part.find(seen)
        left = [i for i in positions if i not in taken] if taken else positions
        return [part.examples[i] for i in islice(shuffled(left, rng, False), self.queries)]

    def _stratified(self, part: PartIndex, classes: Sequence[str], taken: set[int], rng: random.Random) -> list[int]:
        """Return the positions of queries with the classes' shares of what is left beside the taken ones, in random
        order."""
        gone = Counter(part.examples[i].output for i in taken)
        sizes = {c: len(part.by_output.get(c, ())) - gone[c] for c in classes}
        chosen: list[int] = []
        for c, share in shares(sizes, self.queries).items():
            left = (i for i in lazily_shuffled(part.by_output[c], rng) if i not in taken)
            chosen += islice(left, share)
        rng.shuffle(chosen)
        return chosen


def _rng(key: EpisodeKey, purpose: str) -> random.Random:
    seed, task, role, index = key
    return random.Random(f"{seed}/{task}/{role}/{index}/{purpose}")


def _classes(task: Task) -> list[str]:
    """Return the classes that a draw is balanced over; empty where the examples have no options or each has its own."""
    return list(task.labels or task.index("train").common_options) if task.form == "options" else []


def _positions(part: PartIndex, classes: Sequence[str] | None) -> Sequence[int]:
    """Return the positions of some classes' examples (of all with None); ascending in a small part, class by class
    in a large one."""
    if classes is None:
        return range(len(part.examples))
    runs = [part.by_output.get(c, ()) for c in classes]
    return Joined(runs) if len(part.examples) > LARGE else sorted(chain.from_iterable(runs))


def _shrunk(example: Example, classes: frozenset[str]) -> Example:
    """Return the example with its options shrunk to some classes."""
    options, accepted = (tuple(o for o in os if o in classes) for os in (example.options or (), example.accepted))
    return replace(example, options=options, accepted=accepted)
