"""`Task` and `TaskSuite`: what a task is, before any tokenizer or model.

A `Task` never meets a model: a `PromptFormat` (task_suites/formats/prompt_format.py) turns its examples into text, and
a `PromptTree` (metaicl/lm/prompt_tree.py) turns that text into tokens. Values are frozen and checked once, where they
enter; code past the door trusts them.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, get_args

from task_suites.core.errors import UserError, nearest
from task_suites.example import Example, Form, labels_problem
from task_suites.parts import PartIndex, StoredExamples

TaskType = Literal["classification", "multiple_choice", "relation", "event", "tagging", "generation"]
Metric = Literal["accuracy", "macro_f1", "exact_match", "rouge_l", "span_f1"]
MetaSplit = Literal["meta_train", "meta_validation", "meta_test"]
TASK_TYPES: tuple[str, ...] = get_args(TaskType)
METRICS: tuple[str, ...] = get_args(Metric)
META_SPLITS: tuple[str, ...] = get_args(MetaSplit)
DEFAULT_METRICS: dict[Form, Metric] = {"options": "accuracy", "text": "exact_match", "tags": "span_f1"}


def default_type(form: Form, labelled: bool) -> TaskType:
    """Return the type of a task of this form whose type is not given; `labelled`: it has a fixed list of labels."""
    if form == "options":
        return "classification" if labelled else "multiple_choice"
    return "tagging" if form == "tags" else "generation"


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
        family: the name of all tasks of the same origin; a family is on one side of the meta-split.
        load: gives the examples of "train" or "test"; called at most once for each split. `StoredExamples` stay on
            disk; all others are checked and kept in memory.
        positive: right answers that the definition shows.
        negative: wrong answers that the definition shows.
        suite: the suite that the task comes from, by the name that it was opened by.
        evaluation_only: whether its source says that it is a benchmark, which nothing may be meta-trained on.
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
    evaluation_only: bool = False
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
        """Return all examples of ``"train"`` or ``"test"``, loaded and checked on first use: a tuple, or
        `StoredExamples`.

        Raises:
            UserError: an unsound example, none at all, or the examples have different forms.
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
                    f"task {self.name}: the examples have different forms",
                    found=sorted(forms),
                    expected="one form in a task",
                )
            self._loaded[split] = examples
        return self._loaded[split]

    def index(self, split: str) -> PartIndex:
        """Return what draws ask of one part, worked out once and kept."""
        if split not in self._indices:
            self._indices[split] = PartIndex(self.examples(split))
        return self._indices[split]

    @cached_property
    def form(self) -> Form:
        """The form of the task's examples (all of one form in a task)."""
        return self.examples("train")[0].form

    def replace(self, **changes: object) -> Task:
        """Return a variant of the task, which loads its examples afresh."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def keep(self, condition: Callable[[Example], bool]) -> Task:
        """Return the task made of those examples that satisfy `condition`, in their order."""
        return self.replace(
            load=lambda split: [e for e in self.examples(split) if condition(e)], whole=self.whole or self
        )

    def prepared(self) -> Task | str:
        """Return the task with all that its source knows only of loaded data, such as labels and revision; itself
        where there is no more to know. A text says why its source leaves the task out.

        Raises:
            UserError: the data cannot be loaded.
        """
        prepare = getattr(self.load, "prepared", None)
        return self if prepare is None else prepare(self)  # type: ignore[no-any-return]

    def needed(self) -> Task:
        """Return the task prepared.

        Raises:
            UserError: the data cannot be loaded, or its source leaves it out.
        """
        made = self.prepared()
        if isinstance(made, str):
            raise UserError(f"task {self.name} is left out: {made}")
        return made

    def fingerprint(self) -> str:
        """Return SHA-256 over the content of both splits (answers included), in hexadecimal."""
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
        UserError: a split names a task that is not there or the same task twice, a task or a family is on two sides
            of the split, a benchmark is for meta-training, or a task is kept under another name than its own.
    """

    name: str
    tasks: Mapping[str, Task]
    splits: Mapping[str, tuple[str, ...]]
    description: str = ""

    def __post_init__(self) -> None:
        for name, task in self.tasks.items():
            if name != task.name:
                raise UserError(
                    f"suite {self.name}: the task {task.name!r} is stored under the name {name!r}",
                    expected="its own name",
                )
        side: dict[str, str] = {}
        for split, names in self.splits.items():
            if split not in META_SPLITS:
                raise UserError(f"suite {self.name}: unknown split {split!r}", fix=nearest(split, META_SPLITS))
            if twice := {name for name in names if names.count(name) > 1}:
                raise UserError(f"suite {self.name}: {split} names a task twice", found=sorted(twice))
            for name in names:
                task = self[name]
                if task.evaluation_only and split == "meta_train":
                    raise UserError(
                        f"suite {self.name}: {name} is for evaluation only, and is among the meta-training tasks",
                        fix=f"Put it on another side, or leave it out: --exclude {shlex.quote(name)}",
                    )
                for key in {f"task {name}", f"family {task.family}"} if task.family else {f"task {name}"}:
                    if side.setdefault(key, split) != split:
                        raise UserError(
                            f"suite {self.name}: {key} is on two sides of the split",
                            found=f"{side[key]} and {split}",
                            expected="each task and each family on one side",
                        )

    def __getitem__(self, name: str) -> Task:
        if name not in self.tasks:
            raise UserError(f"suite {self.name} has no task {name!r}", fix=nearest(name, self.tasks))
        return self.tasks[name]

    def split(self, split: str) -> list[Task]:
        """Return the tasks of one meta-split, in the suite's order."""
        if split not in META_SPLITS:
            raise UserError(f"unknown meta-split {split!r}", fix=nearest(split, META_SPLITS))
        return [self[name] for name in self.splits.get(split, ())]

    def replace_tasks(self, change: Callable[[Task], Task | None]) -> TaskSuite:
        """Return the suite with each task changed; a task for which `change` gives None is left out."""
        changed = {name: new for name, task in self.tasks.items() if (new := change(task)) is not None}
        splits = {split: tuple(n for n in names if n in changed) for split, names in self.splits.items()}
        return replace(self, tasks=changed, splits=splits)

    def prepared(self) -> tuple[TaskSuite, str | None]:
        """Return the suite with each task prepared (`Task.prepared`), and a sentence on those that were left out.

        Raises:
            UserError: a task cannot be loaded, or all of them were left out.
        """
        left_out: dict[str, list[str]] = {}

        def prepare(task: Task) -> Task | None:
            made = task.prepared()
            if isinstance(made, str):
                left_out.setdefault(made, []).append(task.name)
            return None if isinstance(made, str) else made

        suite = self.replace_tasks(prepare)
        if not left_out:
            return suite, None
        number = sum(map(len, left_out.values()))
        shown = "; ".join(f"{', '.join(names[:20])}: {reason}" for reason, names in list(left_out.items())[:20])
        if not suite.tasks:
            raise UserError(f"suite {self.name}: no task is left", found=shown[:400])
        return suite, f"{number} of {len(self.tasks)} tasks were left out. {shown}."

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
                fix="Remove them from the meta-training tasks, or leave these tasks out: --exclude "
                + " ".join(dict.fromkeys(shlex.quote(trained) for trained, _, _ in leaks)),
            )

    def _stored_apart(self) -> bool:
        """Return whether all examples are stored ones and no content key is on both sides. No example is read."""
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
