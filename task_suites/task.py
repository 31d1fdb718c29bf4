"""`Example`, `Task` and `TaskSuite`: what a task is, before any tokenizer or model.

A `Task` never meets a model: a `PromptFormat` (task_suites/formats/prompt_format.py) turns its examples into text, and
a `PromptTree` (metaicl/lm/prompt_tree.py) turns that text into tokens. Values are frozen and checked once, where they
enter; code past the door trusts them.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import unicodedata
from abc import abstractmethod
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, ClassVar, Literal, get_args

from task_suites.core.errors import UserError, nearest

TaskType = Literal["classification", "multiple_choice", "relation", "event", "tagging", "generation"]
Metric = Literal["accuracy", "macro_f1", "exact_match", "rouge_l", "span_f1"]
Form = Literal["options", "text", "tags"]
MetaSplit = Literal["meta_train", "meta_validation", "meta_test"]
TASK_TYPES: tuple[str, ...] = get_args(TaskType)
METRICS: tuple[str, ...] = get_args(Metric)
META_SPLITS: tuple[str, ...] = get_args(MetaSplit)
FORMS: tuple[str, ...] = get_args(Form)
DEFAULT_METRICS: dict[Form, Metric] = {"options": "accuracy", "text": "exact_match", "tags": "span_f1"}
_BIO = re.compile(r"O|[BI]-[^\s;=]+( [^\s;=]+)*")  # "words = type; words = type" must be readable again


@dataclass(frozen=True)
class Example:
    """One item of a task, in one of three forms.

    - ``options``: `input`, `output` and `options`, the output being one of the options;
    - ``text``: `input` and `output`, the output being free text;
    - ``tags``: `tokens` and `tags` of equal length (BIO).

    A query is an example without its answer (`hidden()`); a method is never given more.

    Attributes:
        accepted: right answers besides `output`, in the ``options`` form further options, in the ``tags`` form none; a
            metric takes the best of them.
    """

    input: str = ""
    output: str | None = None
    options: tuple[str, ...] | None = None
    tokens: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None
    accepted: tuple[str, ...] = ()
    _content: ClassVar[str | None] = None  # kept, as draws ask for it several times; no field, so equality is the same
    _place: ClassVar[str | None] = None  # no field either: where an example stands is not part of it

    @property
    def form(self) -> Form:
        """How the example is answered; method dispatch goes by this and not by the task's type."""
        if self.tokens is not None:
            return "tags"
        return "text" if self.options is None else "options"

    @property
    def text(self) -> str:
        """The input as one line of text (tokens joined by blanks for the ``tags`` form)."""
        return self.input if self.tokens is None else " ".join(self.tokens)

    @property
    def content(self) -> str:
        """What makes two examples the same item: the input, case and white space aside.

        Neither the answer nor the options take part, so that a relabelled duplicate is still found.
        """
        kept = self._content
        if kept is None:
            kept = self.text.casefold()
            # in most texts the only white space is single blanks inside, and seeing that is quicker than splitting
            if not kept.isprintable() or "  " in kept or kept != kept.strip():
                kept = " ".join(kept.split())
            self.__dict__["_content"] = kept
        return kept

    @property
    def place(self) -> str | None:
        """File and line that the example was read from, where its reader knows them."""
        return self._place

    def placed(self, where: object) -> Example:
        """The same object, which remembers where it was read from (file:line)."""
        self.__dict__["_place"] = None if where is None else str(where)
        return self

    def hidden(self) -> Example:
        """The same example without its answer."""
        return replace(self, output=None, tags=None, accepted=())

    def problem(self, labels: Sequence[str] = (), answered: bool = True) -> tuple[str, object, object] | None:
        """(what is wrong, found, expected), or None for a sound example.

        Args:
            labels: of the task, where it has a fixed list.
            answered: whether the example must hold its answer; a query need not.
        """
        try:
            texts = (self.text, self.output or "", *(self.options or ()), *(self.tags or ()), *self.accepted)
            "".join(texts).encode()
        except UnicodeEncodeError as error:
            return "not Unicode text", f"half of a surrogate pair in {error.object[:60]!r}", "whole characters"
        if self.tokens is not None:
            return self._tokens_problem(self.tokens) or (self._tags_problem(self.tokens) if answered else None)
        if self.tags is not None:
            return "tags without tokens", list(self.tags), "tokens and tags, or input and output"
        if not self.input.strip():
            return "the input is empty", repr(self.input), "some text"
        return self._options_problem(labels) or (self._answer_problem(labels) if answered else None)

    def _options_problem(self, labels: Sequence[str]) -> tuple[str, object, object] | None:
        if self.options is None:
            return None
        if wrong := _choices_problem(self.options):
            return wrong
        unknown = [option for option in self.options if labels and option not in labels]
        return ("unknown label", repr(unknown[0]), f"one of {list(labels)}") if unknown else None

    def _answer_problem(self, labels: Sequence[str]) -> tuple[str, object, object] | None:
        if not (self.output or "").strip():
            return "the output is empty", repr(self.output), "an answer"
        assert self.output is not None
        if self.options is None:
            if labels:
                return "the options are missing", "labels in the task", f"options from {list(labels)}"
            if "\n" in self.output:  # generation stops at a line break
                return "the output has several lines", repr(self.output[:60]), "one line"
            bad = [answer for answer in self.accepted if "\n" in answer or not answer.strip()]
            return ("an accepted answer is empty or has several lines", repr(bad[0][:60]), "one line") if bad else None
        if self.output not in self.options:
            return "the options lack the answer", f"output {self.output!r}", f"one of {list(self.options)}"
        missing = [answer for answer in self.accepted if answer not in self.options]
        return (
            ("the options lack an accepted answer", repr(missing[0]), f"some of {list(self.options)}")
            if missing
            else None
        )

    def _tokens_problem(self, tokens: Sequence[str]) -> tuple[str, object, object] | None:
        if self.input or self.output is not None or self.options is not None or self.accepted:
            return "tokens beside input, output or options", "two forms in one example", "only tokens and tags"
        if not tokens:
            return "no tokens", "an empty list", "at least one token"
        blank = [token for token in tokens if token.split() != [token]]
        return ("a token is empty or holds white space", repr(blank[0]), "one word a token") if blank else None

    def _tags_problem(self, tokens: Sequence[str]) -> tuple[str, object, object] | None:
        if self.tags is None or len(self.tags) != len(tokens):
            found = "no tags" if self.tags is None else f"{len(tokens)} tokens and {len(self.tags)} tags"
            return "tokens and tags differ in number", found, "one tag a token"
        bad = [tag for tag in self.tags if not _BIO.fullmatch(tag)]
        return ("not a BIO tag", repr(bad[0]), "O, B-TYPE or I-TYPE, the type without ; or =") if bad else None


@lru_cache(maxsize=256)  # the examples of a task share their options
def _choices_problem(options: tuple[str, ...]) -> tuple[str, object, object] | None:
    if len(set(options)) != len(options) or len(options) < 2:
        return "options must be at least two and distinct", list(options), "distinct options"
    if not all(option.strip() for option in options):
        return "an option is empty", list(options), "some text in each"
    alike = _alike(options, str.strip)
    return ("two options differ only by blanks", list(alike), "options that differ in their words") if alike else None


def labels_problem(labels: Sequence[str]) -> tuple[str, object, object] | None:
    """(what is wrong, found, expected) with the labels of a task, or None.

    Each label is one line of text, and no two differ only by blanks or case.
    """
    for label in labels:
        if not label.strip():
            return "a label is empty", repr(label), "some text in each"
        if len(f"{label}.".splitlines()) > 1:
            return "a label has several lines", repr(label[:60]), "one line"
    if len(set(labels)) != len(labels):
        return "labels occur twice", list(labels), "distinct labels"
    if alike := _alike(labels, lambda label: " ".join(label.split()).casefold()):
        return "two labels differ only by blanks or case", list(alike), "labels that differ in their words"
    if alike := _alike(labels, _as_seen):
        return "two labels look the same", [ascii(label) for label in alike], "labels that differ in their letters"
    return None


def _as_seen(text: str) -> str:
    """Without what does not show: how letters with marks are composed, and characters of no width."""
    return "".join(c for c in unicodedata.normalize("NFC", text) if unicodedata.category(c) != "Cf")


def _alike(texts: Sequence[str], seen_as: Callable[[str], str]) -> tuple[str, str] | None:
    """The first two texts that are seen as one."""
    first: dict[str, str] = {}
    for text in texts:
        if first.setdefault(seen_as(text), text) != text:
            return first[seen_as(text)], text
    return None


class StoredExamples(Sequence[Example]):
    """Examples that lie on disk and are made when they are requested. They were checked when they were stored, so that
    opening them reads none (`task_suites.store`)."""

    @abstractmethod
    def outputs(self) -> list[str | None]:
        """The outputs of all examples, in order."""

    @abstractmethod
    def content_keys(self) -> Any:
        """`content_key` of each example: a NumPy array [examples] of uint64."""


def default_type(form: Form, labelled: bool) -> TaskType:
    """The type of a task of this form of which nobody said more; `labelled`: it has a fixed list of labels."""
    if form == "options":
        return "classification" if labelled else "multiple_choice"
    return "tagging" if form == "tags" else "generation"


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
        """The positions of the examples with one of these contents."""
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


@dataclass(frozen=True)
class Illustration:
    """A right or wrong answer that belongs to a task's definition (Super-NaturalInstructions); never a demonstration
    and never a query."""

    input: str
    output: str
    explanation: str = ""


@dataclass(frozen=True)
class Task:
    """A named NLP problem.

    Attributes:
        name: unique in its suite.
        type: the application (`TASK_TYPES`).
        instruction: one line that says what to do.
        labels: the label words where the task has a fixed list, else empty.
        metric: the task's own headline metric (`METRICS`).
        family: what it shares its origin with; a family lies on one side of the meta-split.
        load: gives the examples of "train" or "test"; called at most once for each split. `StoredExamples` stay on
            disk; all others are checked and kept in memory.
        positive: right answers that the definition shows.
        negative: wrong answers that the definition shows.
        suite: the suite that the task comes from, by the name that it was opened by.
        whole: the task with all its examples, where some were left out; None where none were.

    Raises:
        UserError: an unknown type or metric, or labels that are unsound (`labels_problem`).
    """

    name: str
    type: TaskType
    load: Callable[[str], Iterable[Example]] = field(repr=False, compare=False)
    instruction: str = ""
    labels: tuple[str, ...] = ()
    metric: Metric = "accuracy"
    family: str = ""
    description: str = ""
    domain: str = ""
    source: str = ""
    licence: str = ""
    positive: tuple[Illustration, ...] = ()
    negative: tuple[Illustration, ...] = ()
    suite: str = field(default="", compare=False)
    whole: Task | None = field(default=None, repr=False, compare=False)
    _loaded: dict[str, Sequence[Example]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _indices: dict[str, PartIndex] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for value, known, what in ((self.type, TASK_TYPES, "type"), (self.metric, METRICS, "metric")):
            if value not in known:
                raise UserError(f"task {self.name}: unknown {what} {value!r}", fix=nearest(str(value), known))
        if wrong := labels_problem(self.labels):
            raise UserError(f"task {self.name}: {wrong[0]}", found=wrong[1], expected=wrong[2])

    def examples(self, split: str) -> Sequence[Example]:
        """All examples of ``"train"`` or ``"test"``, loaded and checked on first use: a tuple, or `StoredExamples`.

        Raises:
            UserError: an unsound example, none at all, or examples of different forms.
        """
        if split not in self._loaded:
            given = self.load(split)
            examples: Sequence[Example] = given if isinstance(given, StoredExamples) else tuple(given)
            unchecked = examples[:1] if isinstance(given, StoredExamples) else examples
            for index, example in enumerate(unchecked):
                if wrong := example.problem(self.labels):
                    what, found, expected = wrong
                    where = f"task {self.name}, {split} example {index + 1}"
                    raise UserError(what, where=where, found=found, expected=expected)
            if not examples:
                raise UserError(f"task {self.name}: the {split} split is empty", expected="at least one example")
            forms = {e.form for e in unchecked} | {loaded[0].form for loaded in self._loaded.values()}
            if len(forms) > 1:
                raise UserError(
                    f"task {self.name}: examples of different forms", found=sorted(forms), expected="one form in a task"
                )
            self._loaded[split] = examples
        return self._loaded[split]

    def index(self, split: str) -> PartIndex:
        """What draws ask of one part, worked out once and kept."""
        if split not in self._indices:
            self._indices[split] = PartIndex(self.examples(split))
        return self._indices[split]

    @cached_property
    def form(self) -> Form:
        """The form of the task's examples (all of one form in a task)."""
        return self.examples("train")[0].form

    def replace(self, **changes: object) -> Task:
        """A variant of the task, which loads its examples afresh."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def keep(self, condition: Callable[[Example], bool]) -> Task:
        """The task made of those examples that satisfy `condition`, in their order."""
        return self.replace(
            load=lambda split: [e for e in self.examples(split) if condition(e)], whole=self.whole or self
        )

    def fingerprint(self) -> str:
        """SHA-256 over the content of both splits (answers included), in hexadecimal."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256()
        for split in ("train", "test"):
            for e in self.examples(split):
                row = [split, e.input, e.output, e.options, e.tokens, e.tags, *e.accepted]
                digest.update(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        return digest.hexdigest()


@dataclass(frozen=True)
class TaskSuite:
    """Tasks and which of them are for meta-training, meta-validation and meta-testing.

    Raises:
        UserError: a split names a task that is not there or the same task twice, a task or a family lies on two sides
            of the split, or a task is kept under another name than its own.
    """

    name: str
    tasks: Mapping[str, Task]
    splits: Mapping[str, tuple[str, ...]]
    description: str = ""

    def __post_init__(self) -> None:
        for name, task in self.tasks.items():
            if name != task.name:
                raise UserError(
                    f"suite {self.name}: the task {task.name!r} is kept as {name!r}", expected="its own name"
                )
        side: dict[str, str] = {}
        for split, names in self.splits.items():
            if split not in META_SPLITS:
                raise UserError(f"suite {self.name}: unknown split {split!r}", fix=nearest(split, META_SPLITS))
            if twice := {name for name in names if names.count(name) > 1}:
                raise UserError(f"suite {self.name}: {split} names a task twice", found=sorted(twice))
            for name in names:
                task = self[name]
                for key in {f"task {name}", f"family {task.family}"} if task.family else {f"task {name}"}:
                    if side.setdefault(key, split) != split:
                        raise UserError(
                            f"suite {self.name}: {key} lies on two sides of the split",
                            found=f"{side[key]} and {split}",
                            expected="each task and each family on one side",
                        )

    def __getitem__(self, name: str) -> Task:
        if name not in self.tasks:
            raise UserError(f"suite {self.name} has no task {name!r}", fix=nearest(name, self.tasks))
        return self.tasks[name]

    def split(self, split: str) -> list[Task]:
        """The tasks of one meta-split, in the suite's order."""
        if split not in META_SPLITS:
            raise UserError(f"unknown meta-split {split!r}", fix=nearest(split, META_SPLITS))
        return [self[name] for name in self.splits.get(split, ())]

    def replace_tasks(self, change: Callable[[Task], Task | None]) -> TaskSuite:
        """The suite with each task changed; a task for which `change` gives None is left out."""
        changed = {name: new for name, task in self.tasks.items() if (new := change(task)) is not None}
        splits = {split: tuple(n for n in names if n in changed) for split, names in self.splits.items()}
        return replace(self, tasks=changed, splits=splits)

    def assert_no_leak(self) -> None:
        """Raise when an example of a meta-validation or meta-test task also occurs in a task used for meta-training.

        Raises:
            UserError: names the first leaking pair and the number of leaks.
        """
        if self._stored_apart():
            return
        held_out: dict[str, str] = {}
        for split in ("meta_validation", "meta_test"):
            for task in self.split(split):
                for part in ("train", "test"):
                    held_out.update(dict.fromkeys((e.content for e in task.examples(part)), f"{task.name} ({split})"))
        leaks = [
            (task.name, e.content, held_out[e.content])
            for task in self.split("meta_train")
            for part in ("train", "test")
            for e in task.examples(part)
            if e.content in held_out
        ]
        if leaks:
            pairs = list(dict.fromkeys(f"{trained} (meta_train) and in {home}" for trained, _, home in leaks))
            shown = f"{leaks[0][1][:80]!r} in {pairs[0]}"
            if len(pairs) > 1:
                shown += f"; others in {', in '.join(pairs[1:4])}" + (", ..." if len(pairs) > 4 else "")
            raise UserError(
                f"suite {self.name}: {len(leaks)} examples of held-out tasks also lie in meta-training tasks",
                found=shown,
                expected="held-out examples that no meta-training task holds",
                fix="Remove them from the meta-training tasks, or leave these tasks out: --suite.exclude "
                + " ".join(dict.fromkeys(shlex.quote(trained) for trained, _, _ in leaks)),
            )

    def _stored_apart(self) -> bool:
        """Whether all examples are stored ones and no content key lies on both sides; reads no example."""
        keys: dict[bool, list[Any]] = {True: [], False: []}
        for split in META_SPLITS:
            for task in self.split(split):
                for part in map(task.examples, ("train", "test")):
                    if not isinstance(part, StoredExamples):
                        return False
                    keys[split == "meta_train"].append(part.content_keys())
        if not keys[True] or not keys[False]:
            return True
        import numpy as np

        return not np.isin(np.concatenate(keys[True]), np.concatenate(keys[False])).any()
