"""`Episode` and `EpisodeSampler`: support and query draws that are pure functions of names.

A draw depends on (seed, task, meta-split role, index) and on nothing else: not on the call order, the number of
processes, the batch size or the other tasks. Support sets are nested: the draw with k=4 is the start of that with k=16.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from task_suites.errors import UserError
from task_suites.task import Example, Task

EpisodeKey = tuple[int, str, str, int]

# Common, short, concrete words that stand for classes when labels are made arbitrary, so that a label's meaning can
# only be read off the demonstrations.
_WORDS = """
apple barn basket beacon bell bishop blanket bottle branch bridge bronze bucket button cabin candle canyon
carpet castle cedar chalk chapel cherry clover cobra coral cotton cradle crystal dagger daisy desert diamond
dolphin donkey dragon drum eagle elbow ember engine falcon feather fiddle flint forest fossil fountain garden
ginger globe granite hammer harp hazel helmet honey hornet island ivory jacket jungle kettle ladder lantern
lemon lily lizard magnet maple marble meadow mirror mitten monkey needle nickel oasis olive onion orchid otter
paddle parrot pebble pepper pigeon pillow planet plum pocket pony puddle pumpkin quartz rabbit ribbon rocket
saddle salmon scarf shadow shovel silver sparrow spider statue sugar thimble thunder tiger timber trumpet tulip
tunnel turtle umbrella valley velvet walnut whistle willow window wizard zebra
"""
ARBITRARY_WORDS: tuple[str, ...] = tuple(_WORDS.split())


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
        """A generator for one purpose, seeded by the episode's key alone."""
        return _rng(self.key, purpose)

    def relabelled(self) -> Episode:
        """The episode with each label of a fixed label list replaced by an arbitrary word, the same word throughout.

        Episodes whose options are each example's own, or that have none, come back unchanged.
        """
        if not self.task.labels or not self.queries or self.queries[0].form != "options":
            return self
        taken = {word for label in self.task.labels for word in re.findall(r"[^\W_]+", label.casefold())}
        free = [word for word in ARBITRARY_WORDS if word not in taken]
        if len(self.task.labels) > len(free):
            return self
        new = dict(zip(self.task.labels, self.rng("relabel").sample(free, len(self.task.labels)), strict=True))

        def change(e: Example) -> Example:
            assert e.output is not None and e.options is not None
            return replace(e, output=new[e.output], options=tuple(new[o] for o in e.options))

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
        max_classes: at most so many classes take part in an episode, drawn for each (training only: with 16 shots of
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
    max_classes: int | None = None
    arbitrary_labels: float = 0.0

    def __post_init__(self) -> None:
        for name, sound, expected in (
            ("k", self.k >= 0, "0 or more"),
            ("queries", self.queries >= 1, "at least 1"),
            ("balance", self.balance in ("balanced", "natural"), "balanced or natural"),
            ("max_classes", not self.max_classes or self.max_classes >= 2, "at least 2, or 0 or None for all"),
            ("arbitrary_labels", 0 <= self.arbitrary_labels <= 1, "a share from 0 to 1"),
        ):
            if not sound:
                raise UserError(f"{name} is out of range", found=repr(getattr(self, name)), expected=expected)

    def draw(self, task: Task, role: str, index: int) -> Episode:
        """The episode number `index` of a task.

        `role` is "test" (support from the task's train examples, queries from its test examples) or "train" (both from
        its train examples).

        Raises:
            UserError: the task has too few examples for k, or none is left to be a query; or an unknown role.
        """
        key = (self.seed, task.name, role, index)
        if role not in ("train", "test"):
            raise UserError(f"unknown role {role!r}", expected="train or test")
        pool: Sequence[Example] = task.examples("train")
        query_pool: Sequence[Example] = task.examples("test") if role == "test" else pool
        classes = _classes(task)
        if self.max_classes and len(classes) > self.max_classes:
            occurring = {e.output for e in pool}
            classes = [c for c in classes if c in occurring]
            classes = _rng(key, "classes").sample(classes, min(len(classes), self.max_classes))
            pool, query_pool = _only(pool, set(classes)), _only(query_pool, set(classes))
        support = self._support(pool, classes, key)
        seen = {e.content for e in support}
        candidates = [e for e in query_pool if e.content not in seen]
        if not candidates:
            raise UserError(f"task {task.name}: no query is left beside the {len(support)} demonstrations")
        _rng(key, "queries").shuffle(candidates)
        episode = Episode(key, task, support, tuple(candidates[: self.queries]))
        return episode.relabelled() if _rng(key, "arbitrary").random() < self.arbitrary_labels else episode

    def _support(self, pool: Sequence[Example], classes: Sequence[str], key: EpisodeKey) -> tuple[Example, ...]:
        order = list(pool)
        _rng(key, "support").shuffle(order)
        by_class: dict[str | None, list[Example]] = {c: [] for c in classes or (None,)}
        for e in order:
            by_class[e.output if classes else None].append(e)
        if self.per_class and classes:
            name, size = min(((c, len(es)) for c, es in by_class.items()), key=lambda item: item[1])
            if size < self.k:
                raise UserError(
                    f"task {key[1]}: class {name!r} has {size} examples",
                    expected=f"at least k={self.k}",
                    fix="Lower k.",
                )
        wanted = self.k * len(by_class) if self.per_class else self.k
        if wanted > len(order):
            raise UserError(
                f"task {key[1]}: k={self.k} asks for {wanted} demonstrations",
                found=f"{len(order)} examples",
                fix="Lower k.",
            )
        if self.balance == "balanced" or self.per_class:
            order = _in_turn(by_class, _rng(key, "turns"))
        return tuple(order[:wanted])


def _rng(key: EpisodeKey, purpose: str) -> random.Random:
    return random.Random(f"{'/'.join(map(str, key))}/{purpose}")


def _classes(task: Task) -> list[str]:
    """The classes that a draw is balanced over; empty where the examples have no options or each has its own."""
    if task.form != "options":
        return []
    options = task.labels or task.examples("train")[0].options or ()
    shared = task.labels or all(set(e.options or ()) == set(options) for e in task.examples("train"))
    return list(options) if shared else []


def _only(examples: Sequence[Example], classes: set[str]) -> list[Example]:
    """The examples of some classes, their options shrunk to them."""
    return [
        replace(e, options=tuple(o for o in e.options or () if o in classes)) for e in examples if e.output in classes
    ]


def _in_turn(by_class: dict[str | None, list[Example]], rng: random.Random) -> list[Example]:
    """All examples, round by round: in each round one of each class that has one left, in random order."""
    queues = {c: list(reversed(es)) for c, es in sorted(by_class.items(), key=lambda item: str(item[0])) if es}
    order: list[Example] = []
    while queues:
        turn = list(queues)
        rng.shuffle(turn)
        for c in turn:
            order.append(queues[c].pop())
            if not queues[c]:
                del queues[c]
    return order
