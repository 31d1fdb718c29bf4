"""From a family of blueprints to tasks, and the deterministic split.

Example number `index` of a split depends on (task, split, index) alone: attempt after attempt is drawn from
``random.Random(f"embedded/{task}/{split}/{index}/{attempt}")`` until the text has 8 to 30 words and the hash of its
content falls on the split's side.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

from task_suites.core.errors import UserError
from task_suites.embedded.attempts import known
from task_suites.embedded.kinds import Draw
from task_suites.embedded.templates import Lexicon, Phrases
from task_suites.example import Example
from task_suites.task import MetaSplit, Metric, Task, TaskType

SIZES = {"train": 320, "test": 160}
MIN_WORDS, MAX_WORDS = 8, 30
MAX_ATTEMPTS = 200


@dataclass(frozen=True)
class Blueprint:
    """A task of a family: metadata, templates and the function that draws an example."""

    name: str
    type: TaskType
    instruction: str
    description: str
    labels: tuple[str, ...]
    templates: Phrases
    draw: Draw
    metric: Metric


@dataclass(frozen=True)
class Family:
    """A world of its own: a lexicon and the tasks asked about it, all on one side of the meta-split.

    Attributes:
        sources: a hash of its file and of the generator (`task_suites.embedded.attempts.sources`).
    """

    name: str
    side: MetaSplit
    domain: str
    lexicon: Lexicon
    blueprints: tuple[Blueprint, ...]
    sources: str = ""

    def tasks(self) -> list[Task]:
        """Return the family's tasks, named ``<family>_<name>``; no example is drawn yet."""
        return [self._task(blueprint) for blueprint in self.blueprints]

    def _task(self, blueprint: Blueprint) -> Task:
        name = f"{self.name}_{blueprint.name}"
        return Task(
            name=name,
            type=blueprint.type,
            load=lambda split: materialise(name, split, blueprint.draw, known(self.name, self.sources, name, split)),
            instruction=blueprint.instruction,
            labels=blueprint.labels,
            metric=blueprint.metric,
            family=self.name,
            description=blueprint.description,
            domain=self.domain,
            source="embedded",
            licence="Apache-2.0",
        )


def side_of(content: str) -> str:
    """Return the split, "train" or "test", that an example of this content belongs to."""
    return "test" if hashlib.sha256(content.encode()).digest()[-1] % 4 == 0 else "train"


def example_at(task: str, split: str, index: int, draw: Draw, first: int = 0) -> Example:
    """Return example number `index` of a split: a function of (task, split, index) and of `draw` only.

    The attempts before `first` are known to give none.

    Raises:
        UserError: no example of this split in `MAX_ATTEMPTS` attempts.
    """
    return _accepted(task, split, index, draw, first)[1]


def _accepted(task: str, split: str, index: int, draw: Draw, first: int) -> tuple[int, Example]:
    """Return (the attempt, its example) that is the first to be of this split, from attempt `first` on."""
    for attempt in range(first, MAX_ATTEMPTS):
        example = draw(random.Random(f"embedded/{task}/{split}/{index}/{attempt}"))
        if MIN_WORDS <= len(example.text.split()) <= MAX_WORDS and side_of(example.content) == split:
            return attempt, example
    raise UserError(
        f"task {task}: no {split} example number {index} in {MAX_ATTEMPTS} attempts",
        expected="a split named train or test, and a generator with many distinct examples",
    )


def materialise(task: str, split: str, draw: Draw, attempts: Sequence[int] = ()) -> list[Example]:
    """Return the examples of a split: those of index 0, 1, ... with distinct contents, `SIZES[split]` in number.

    `attempts` are those that give the examples, in order, where they are known (task_suites/embedded/attempts.py).

    Raises:
        UserError: an unknown split, or a generator that repeats itself too often.
    """
    if split not in SIZES:
        raise UserError(f"task {task}: unknown split {split!r}", expected=" or ".join(SIZES))
    unique: dict[str, Example] = {}
    for index in range(4 * SIZES[split]):
        example = example_at(task, split, index, draw, attempts[index] if index < len(attempts) else 0)
        unique.setdefault(example.content, example)
        if len(unique) == SIZES[split]:
            return list(unique.values())
    raise UserError(
        f"task {task}: too few distinct {split} examples",
        found=f"{len(unique)} among {4 * SIZES[split]} draws",
        expected=f"{SIZES[split]}",
        fix="Give its templates more slots or its lexicon more phrases.",
    )


def attempts_of(task: str, split: str, draw: Draw) -> list[int]:
    """Return the attempts that give the examples of a split, each search starting from attempt 0."""
    found: list[int] = []
    unique: set[str] = set()
    while len(unique) < SIZES[split]:
        attempt, example = _accepted(task, split, len(found), draw, 0)
        found.append(attempt)
        unique.add(example.content)
    return found
