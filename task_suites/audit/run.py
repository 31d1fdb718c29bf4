"""The audit of a suite: what leaks, what repeats, and what makes a task easier or worse than it looks.

    duplicates   exact (case and white space aside), with options in another order, near (one word in ten changed),
                 and inputs that stand whole within another, across support (train) and query (test) of a task, across
                 the sides of the meta-split, between tasks and within a split (task_suites/audit/duplicates.py)
    sources      one source data set on two sides of the meta-split
    answers      one label, or nearly one; the right option always at one position; one input with two answers; answers
                 that stand in the input (task_suites/audit/answers.py)
    texts        lengths against a context size; languages

A leak is a duplicate across support and query or across the meta-split, or a source on two sides. All else is worth
knowing and no leak.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any, Literal

from task_suites.audit.answers import Notes, answers, note_task
from task_suites.audit.duplicates import Corpus, permutation_key
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.splits import own_names
from task_suites.task import META_SPLITS, Task, TaskSuite

Kind = Literal["exact", "permuted", "near", "contained"]
Ref = tuple[str, str, int]  # task, "train" or "test", index
KINDS: dict[str, str] = {
    "exact": "the same input, case and white space aside",
    "permuted": "the same input with its options in another order",
    "near": "at most one word in ten differs",
    "contained": "the input stands whole within another",
}
PARTS = ("train", "test")
WITHIN, BETWEEN = "within a split", "between tasks of a side"
_FEW_PLACES = 4  # of each of two similar texts; one with copies in more tasks is reported for these


@dataclass(frozen=True)
class Pair:
    """Two examples that should not both be there.

    Attributes:
        kind: how they are alike (`KINDS`).
        relation: "train and test", two sides ("meta_train and meta_test"), `WITHIN` or `BETWEEN`.
        keep: the example that counts more: the one held out, the one of the test split.
        drop: the other one, which `--fix` removes where the pair is a leak.
        similarity: the share of the words that both have, in order.
    """

    kind: Kind
    relation: str
    keep: Ref
    drop: Ref
    similarity: float = 1.0

    @property
    def leak(self) -> bool:
        return self.relation not in (WITHIN, BETWEEN)


@dataclass(frozen=True)
class SharedSource:
    """A source data set that is on two sides of the meta-split."""

    source: str
    tasks: dict[str, list[str]]


@dataclass
class AuditReport:
    """What the audit found.

    Attributes:
        suite: its name.
        tasks, examples: how many were read.
        pairs: duplicates, leaks first.
        sources: sources on two sides.
        notes: answers, lengths and languages of each task, by its name.
        context: the context size that lengths were compared with; 0 for none.
        seconds: the audit's own time.
    """

    suite: str
    tasks: int
    examples: int
    pairs: list[Pair] = field(default_factory=list)
    sources: list[SharedSource] = field(default_factory=list)
    notes: dict[str, Notes] = field(default_factory=dict)
    context: int = 0
    seconds: float = 0.0

    @property
    def leaks(self) -> list[Pair]:
        return [pair for pair in self.pairs if pair.leak]

    @property
    def clean(self) -> bool:
        """No leak, and no source on two sides: what a check in CI asks."""
        return not self.sources and not any(pair.leak for pair in self.pairs)

    def counts(self) -> dict[str, dict[str, int]]:
        """relation -> kind -> number of pairs; leaks first."""
        table: dict[str, Counter[str]] = {}
        for pair in sorted(self.pairs, key=lambda p: (not p.leak, p.relation)):
            table.setdefault(pair.relation, Counter())[pair.kind] += 1
        return {relation: dict(counter) for relation, counter in table.items()}

    def to_json(self) -> dict[str, Any]:
        """Return the report for machines; pairs by name and index, without text."""
        return {
            "suite": self.suite,
            "tasks": self.tasks,
            "examples": self.examples,
            "clean": self.clean,
            "leaks": len(self.leaks),
            "counts": self.counts(),
            "sources": [asdict(source) for source in self.sources],
            "pairs": [{**asdict(pair), "leak": pair.leak} for pair in self.pairs],
            "context": self.context,
            "notes": {name: notes.to_json() for name, notes in self.notes.items()},
            "seconds": round(self.seconds, 2),
        }


def audit_suite(
    suite: TaskSuite,
    *,
    context: int = 0,
    length: Callable[[str], int] | None = None,
    near: bool = True,
    languages: bool = True,
    allow: Iterable[str] = (),
    say: Callable[[str], None] = lambda text: None,
) -> AuditReport:
    """Read every example of a suite once and report (module docstring).

    Args:
        suite: what is audited; tasks in no meta-split are audited by themselves.
        context: a context size in the unit of `length`; examples that are longer are counted. 0 takes none.
        length: the length of a text; words where none is given.
        near: look for near duplicates and contained inputs too, which is most of the time.
        languages: tell the languages of a sample of each task.
        allow: sources that may be on two sides.
        say: gets a line for each task that is read.

    Raises:
        UserError: an example cannot be read, or a negative context.
    """
    if context < 0:
        raise UserError(f"context must be 0 or more, but is {context}")
    started = time.monotonic()
    report = AuditReport(suite.name, len(suite.tasks), 0, context=context)
    side = {task.name: split for split in META_SPLITS for task in suite.split(split)}
    report.sources = shared_sources(suite, allow)
    places, texts = _Places(side), _Texts()
    for number, task in enumerate(suite.tasks.values()):
        say(f"reading {task.name} ({number + 1} of {len(suite.tasks)})")
        _read(task, number, places, texts)
        report.notes[task.name] = note_task(task, context, length, languages)
    report.examples = len(texts.places)
    say("comparing")
    for name, found in _contradictions(suite, texts, places).items():
        report.notes[name].contradictions = found
    report.pairs = sorted(_pairs(places, texts, near), key=lambda pair: not pair.leak)
    report.seconds = time.monotonic() - started
    return report


def _read(task: Task, number: int, places: _Places, texts: _Texts) -> None:
    """Add the examples of a task, the `number`-th of its suite."""
    for part in PARTS:
        place = places.add(task.name, part)
        for index, example in enumerate(task.examples(part)):
            own = example.options if not task.labels else None
            texts.add(example.content, permutation_key(example.text, own), place, index, number)


def _pairs(places: _Places, texts: _Texts, near: bool) -> list[Pair]:
    """Return all pairs of examples that are alike."""
    finder = _Finder(places, texts)
    finder.groups("exact", texts.copies())
    finder.groups("permuted", texts.permuted())
    if near:
        finder.texts("near", texts.corpus.similar())
        finder.texts("contained", ((a, b, 1.0) for a, b in texts.corpus.contained()))
    return finder.pairs


def shared_sources(suite: TaskSuite, allow: Iterable[str] = ()) -> list[SharedSource]:
    """Return the sources that are on two sides of the meta-split and are not allowed by name.

    A source that has the suite's own name says that its tasks were made for the suite; it is not a data set.
    """
    allowed = {name.casefold() for name in allow} | own_names(suite)
    found: dict[str, dict[str, list[str]]] = {}
    for side in META_SPLITS:
        for task in suite.split(side):
            if task.source and task.source.casefold() not in allowed:
                found.setdefault(task.source.casefold(), {}).setdefault(side, []).append(task.name)
    names = {task.source.casefold(): task.source for task in suite.tasks.values()}
    return [SharedSource(names[source], sides) for source, sides in found.items() if len(sides) > 1]


def _contradictions(suite: TaskSuite, texts: _Texts, places: _Places) -> dict[str, list[tuple[Ref, Ref]]]:
    """task -> pairs of its examples with one input, the same options, and answers that differ."""
    found: dict[str, list[tuple[Ref, Ref]]] = {}
    for group in texts.copies():
        first: dict[tuple[str, frozenset[str]], tuple[Ref, Example]] = {}
        for number in group:
            task, part = places.names[texts.places[number]]
            ref = (task, part, texts.indices[number])
            example = suite[task].examples(part)[ref[2]]
            known, other = first.setdefault((task, frozenset(example.options or ())), (ref, example))
            if answers(example).isdisjoint(answers(other)):
                found.setdefault(task, []).append((known, ref))
    return found


class _Places:
    """The (task, part) that examples stand in, by number, with what two of them are to each other."""

    def __init__(self, side: dict[str, str]):
        self.side, self.names = side, list[tuple[str, str]]()

    def add(self, task: str, part: str) -> int:
        self.names.append((task, part))
        return len(self.names) - 1

    def rank(self, place: int) -> tuple[int, bool, int]:
        """Return what sorts parts by how much they count: held-out tasks first, test before train."""
        task, part = self.names[place]
        order = ("meta_test", "meta_validation", "meta_train")
        side = self.side.get(task)
        return order.index(side) if side else len(order), part == "train", place

    def relation(self, a: int, b: int) -> str:
        (task, part), (other, other_part) = self.names[a], self.names[b]
        if task == other:
            return WITHIN if part == other_part else "train and test"
        sides = {self.side.get(task), self.side.get(other)} - {None}
        return " and ".join(s for s in META_SPLITS if s in sides) if len(sides) == 2 else BETWEEN


class _Texts:
    """Distinct contents, numbered, and where each occurs."""

    def __init__(self) -> None:
        self.corpus = Corpus()
        self.places: list[int] = []  # of each example
        self.indices: list[int] = []
        self._numbers: dict[str, int] = {}
        self._first: list[int] = []  # text -> its first example
        self._more: dict[int, list[int]] = {}  # text -> its further examples
        self._permuted: dict[str, int | list[int]] = {}

    def add(self, content: str, permuted: str | None, place: int, index: int, group: int) -> None:
        example = len(self.places)
        self.places.append(place)
        self.indices.append(index)
        text = self._numbers.setdefault(content, len(self._numbers))
        if text < len(self._first):
            self._more.setdefault(text, []).append(example)
            return
        self._first.append(example)
        self.corpus.add(content, group)
        if permuted is not None:
            known = self._permuted.setdefault(permuted, text)
            if isinstance(known, list):
                known.append(text)
            elif known != text:
                self._permuted[permuted] = [known, text]

    def examples(self, text: int) -> list[int]:
        return [self._first[text], *self._more.get(text, ())]

    def copies(self) -> Iterable[list[int]]:
        return (self.examples(text) for text in self._more)

    def permuted(self) -> Iterable[list[int]]:
        """Yield groups of first examples in a part of a task whose texts differ only in the order of their options."""
        for texts in self._permuted.values():
            if isinstance(texts, list):
                yield [example for text in texts for example in self.examples(text)]


class _Finder:
    """Makes pairs of examples out of groups and of similar texts."""

    def __init__(self, places: _Places, texts: _Texts):
        self.at, self.of, self.pairs = places, texts, list[Pair]()
        self._known: set[tuple[int, int]] = set()

    def groups(self, kind: Kind, groups: Iterable[Sequence[int]]) -> None:
        """Each member of a group but the one that counts most makes a pair, with one that it leaks to if there is."""
        for group in groups:
            members = sorted(group, key=lambda e: (self.at.rank(self.of.places[e]), self.of.indices[e]))
            firsts = [members[0]]  # of each part of a task
            for example in members[1:]:
                place = self.of.places[example]
                leaks = (f for f in firsts if self.at.relation(self.of.places[f], place) not in (WITHIN, BETWEEN))
                self._add(kind, next(leaks, firsts[0]), example, 1.0)
                if all(self.of.places[f] != place for f in firsts):
                    firsts.append(example)

    def texts(self, kind: Kind, pairs: Iterable[tuple[int, int, float]]) -> None:
        for a, b, similarity in pairs:
            for one, two in product(self._spread(a), self._spread(b)):
                first, second = sorted((one, two), key=lambda e: (self.at.rank(self.of.places[e]), self.of.indices[e]))
                self._add(kind, first, second, similarity)

    def _spread(self, text: int) -> list[int]:
        """Return the first example of a text in each part of a task, for a few parts at most."""
        firsts = {self.of.places[example]: example for example in reversed(self.of.examples(text))}
        return sorted(firsts.values(), key=lambda e: self.at.rank(self.of.places[e]))[:_FEW_PLACES]

    def _add(self, kind: Kind, keep: int, drop: int, similarity: float) -> None:
        if (keep, drop) in self._known:
            return
        self._known.add((keep, drop))
        relation = self.at.relation(self.of.places[keep], self.of.places[drop])
        self.pairs.append(Pair(kind, relation, self._ref(keep), self._ref(drop), round(similarity, 3)))

    def _ref(self, example: int) -> Ref:
        return (*self.at.names[self.of.places[example]], self.of.indices[example])
