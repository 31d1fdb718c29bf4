"""From lexicon and templates to a `Task`: templates, the four kinds of task, and the deterministic split.

A template is text with slots: ``{name}`` takes a phrase from the lexicon, ``{this|that}`` one of the alternatives;
both nest, and a phrase may hold slots of its own. A lexicon entry is a tuple of phrases, or a mapping from classes to
phrases: then the class is drawn first, and a task may ask for it.

    lexicon = {"who": ("a baker",), "mood": {"glad": ("smiles",), "sad": ("weeps", "sighs {deeply|softly}")}}
    "{who} {mood}."  with mood = sad  ->  "A baker sighs softly."

Example number `index` of a split depends on (task, split, index) alone: attempt after attempt is drawn from
``random.Random(f"embedded/{task}/{split}/{index}/{attempt}")`` until the text has 8 to 30 words and the hash of its
content falls on the split's side.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import pairwise

from task_suites.core.errors import UserError
from task_suites.embedded.attempts import known
from task_suites.embedded.grammar import captured, finished, tagged
from task_suites.example import Example
from task_suites.task import MetaSplit, Metric, Task, TaskType

SIZES = {"train": 320, "test": 160}
MIN_WORDS, MAX_WORDS = 8, 30
MAX_ATTEMPTS = 200
Phrases = tuple[str, ...]
Lexicon = Mapping[str, "Phrases | Mapping[str, Phrases]"]
Draw = Callable[[random.Random], Example]


def phrases(text: str) -> Phrases:
    """The phrases of a block of text, one a line or parted by `` / ``."""
    return tuple(part.strip() for line in text.splitlines() for part in line.split(" / ") if part.strip())


@dataclass(frozen=True)
class Slot:
    """A place in a template: a lexicon entry by name, or alternatives given on the spot."""

    name: str = ""
    choices: tuple[tuple[str | Slot, ...], ...] = ()


@cache
def parse(template: str) -> tuple[str | Slot, ...]:
    """A template as plain strings and slots.

    Raises:
        ValueError: braces that do not match.
    """
    parts: list[str | Slot] = []
    depth, start, bars = 0, 0, [0]
    for i, char in enumerate(template):
        if char == "{":
            if depth == 0:
                parts.append(template[start:i])
                start, bars = i + 1, [i]
            depth += 1
        elif char == "|" and depth == 1:
            bars.append(i)
        elif char == "}":
            depth -= 1
            if depth == 0:
                cuts = [*bars, i]
                inner = [template[a + 1 : b] for a, b in pairwise(cuts)]
                parts.append(Slot(choices=tuple(map(parse, inner))) if len(inner) > 1 else Slot(name=inner[0]))
                start = i + 1
        if depth < 0:
            break
    if depth != 0:
        raise ValueError(f"braces do not match in template {template!r}")
    parts.append(template[start:])
    return tuple(part for part in parts if part)


class Filler:
    """Fills templates for one example; no phrase of an entry is used twice while others are left."""

    def __init__(self, rng: random.Random, lexicon: Lexicon, classes: Mapping[str, str] | None = None):
        self.rng, self.lexicon, self.classes = rng, lexicon, dict(classes or {})
        self.used: set[tuple[str, str]] = set()

    def fill(self, template: str) -> str:
        """The template with every slot filled, not yet `finished`."""
        return self._fill(parse(template))

    def _fill(self, parts: tuple[str | Slot, ...]) -> str:
        return "".join(
            part
            if isinstance(part, str)
            else self._fill(self.rng.choice(part.choices))
            if part.choices
            else self.fill(self._phrase(part.name))
            for part in parts
        )

    def _phrase(self, name: str) -> str:
        entry = self.lexicon[name]
        if isinstance(entry, Mapping):
            entry = entry[self.classes.setdefault(name, self.rng.choice(tuple(entry)))]
        for _ in range(8):
            phrase = self.rng.choice(entry)
            if (name, phrase) not in self.used:
                break
        self.used.add((name, phrase))
        return phrase


@dataclass(frozen=True)
class Blueprint:
    """A task of a family before it has a family: metadata, templates and the function that draws an example."""

    name: str
    type: TaskType
    instruction: str
    description: str
    labels: tuple[str, ...]
    templates: Phrases
    draw: Callable[[random.Random, Lexicon], Example]
    metric: Metric


@dataclass(frozen=True)
class Family:
    """A world of its own: a lexicon and the tasks asked about it, all on one side of the meta-split."""

    name: str
    side: MetaSplit
    domain: str
    lexicon: Lexicon
    blueprints: tuple[Blueprint, ...]

    def tasks(self) -> list[Task]:
        """The family's tasks, named ``<family>_<name>``; no example is drawn yet."""
        return [self._task(blueprint) for blueprint in self.blueprints]

    def _task(self, blueprint: Blueprint) -> Task:
        name = f"{self.name}_{blueprint.name}"
        return Task(
            name=name,
            type=blueprint.type,
            load=lambda split: materialise(
                name, split, lambda rng: blueprint.draw(rng, self.lexicon), known(name, split)
            ),
            instruction=blueprint.instruction,
            labels=blueprint.labels,
            metric=blueprint.metric,
            family=self.name,
            description=blueprint.description,
            domain=self.domain,
            source="embedded",
            licence="Apache-2.0",
        )


def classify(
    name: str,
    slot: str,
    labels: Mapping[str, str],
    templates: str,
    instruction: str,
    description: str,
    type: TaskType = "classification",
) -> Blueprint:
    """A task that asks for the class of `slot`, under the label words that `labels` maps classes to.

    Several classes may share a label; classes that `labels` lacks do not occur in the task. With ``generation`` as its
    type the label words are free text, which normalises what the sentence says.
    """
    words = tuple(dict.fromkeys(labels.values()))
    classes = {word: tuple(c for c, label in labels.items() if label == word) for word in words}
    frames = phrases(templates)
    options = None if type == "generation" else words
    metric: Metric = "macro_f1" if options else "exact_match"

    def draw(rng: random.Random, lexicon: Lexicon) -> Example:
        word = rng.choice(words)
        filler = Filler(rng, lexicon, {slot: rng.choice(classes[word])})
        return Example(input=finished(filler.fill(rng.choice(frames))), output=word, options=options)

    return Blueprint(name, type, instruction, description, words if options else (), frames, draw, metric)


def choose(
    name: str,
    groups: Sequence[tuple[str, str]],
    templates: str,
    instruction: str,
    description: str,
    options: int = 3,
) -> Blueprint:
    """A multiple-choice task: each group is (situations, endings), and the wrong options are other groups' endings.

    A template holds the situation as ``{situation}``.
    """
    frames = phrases(templates)
    situations = {str(i): phrases(group[0]) for i, group in enumerate(groups)}
    endings = {str(i): phrases(group[1]) for i, group in enumerate(groups)}
    ending = lru_cache(maxsize=256)(finished)  # few and often drawn

    def draw(rng: random.Random, lexicon: Lexicon) -> Example:
        right, *wrong = rng.sample(tuple(situations), options)
        filler = Filler(rng, {**lexicon, "situation": situations}, {"situation": right})
        text = finished(filler.fill(rng.choice(frames)))
        answer = ending(filler.fill(rng.choice(endings[right])))
        choices = [answer, *(ending(filler.fill(rng.choice(endings[group]))) for group in wrong)]
        rng.shuffle(choices)
        return Example(input=text, output=answer, options=tuple(choices))

    return Blueprint(name, "multiple_choice", instruction, description, (), frames, draw, "accuracy")


def tag(name: str, types: Sequence[str], templates: str, instruction: str, description: str) -> Blueprint:
    """A tagging task: spans are marked ``<TYPE:...>`` in the templates or in the phrases."""
    frames = phrases(templates)

    def draw(rng: random.Random, lexicon: Lexicon) -> Example:
        tokens, tags = tagged(finished(Filler(rng, lexicon).fill(rng.choice(frames))))
        return Example(tokens=tokens, tags=tags)

    return Blueprint(name, "tagging", instruction, description, tuple(types), frames, draw, "span_f1")


def tagged_event(name: str, types: Sequence[str], templates: str, instruction: str, description: str) -> Blueprint:
    """An event task in the tagging form: the spans are event triggers and their types the kinds of event."""
    return replace(tag(name, types, templates, instruction, description), type="event")


def extract(name: str, templates: str, instruction: str, description: str) -> Blueprint:
    """A generation task: the answer is the text inside the mark ``<X:...>`` of the template."""
    frames = phrases(templates)

    def draw(rng: random.Random, lexicon: Lexicon) -> Example:
        _, answer = captured(filled := Filler(rng, lexicon).fill(rng.choice(frames)))
        return Example(input=captured(finished(filled))[0], output=answer)

    return Blueprint(name, "generation", instruction, description, (), frames, draw, "exact_match")


def side_of(content: str) -> str:
    """The split, "train" or "test", that an example of this content belongs to."""
    return "test" if hashlib.sha256(content.encode()).digest()[-1] % 4 == 0 else "train"


def example_at(task: str, split: str, index: int, draw: Draw, first: int = 0) -> Example:
    """Example number `index` of a split: a function of (task, split, index) and of `draw` only.

    The attempts before `first` are known to give none.

    Raises:
        UserError: no example of this split in `MAX_ATTEMPTS` attempts.
    """
    return _accepted(task, split, index, draw, first)[1]


def _accepted(task: str, split: str, index: int, draw: Draw, first: int) -> tuple[int, Example]:
    """(the attempt, its example) that is the first to be of this split, from attempt `first` on."""
    for attempt in range(first, MAX_ATTEMPTS):
        example = draw(random.Random(f"embedded/{task}/{split}/{index}/{attempt}"))
        if MIN_WORDS <= len(example.text.split()) <= MAX_WORDS and side_of(example.content) == split:
            return attempt, example
    raise UserError(
        f"task {task}: no {split} example number {index} in {MAX_ATTEMPTS} attempts",
        expected="a split named train or test, and a generator with many distinct examples",
    )


def materialise(task: str, split: str, draw: Draw, attempts: Sequence[int] = ()) -> list[Example]:
    """The examples of a split: those of index 0, 1, ... with distinct contents, `SIZES[split]` in number.

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


def attempts_of(family: Family, blueprint: Blueprint, split: str) -> list[int]:
    """The attempts that give the examples of a split, each found from the first one on."""
    found: list[int] = []
    unique: set[str] = set()
    while len(unique) < SIZES[split]:
        name, index = f"{family.name}_{blueprint.name}", len(found)
        attempt, example = _accepted(name, split, index, lambda rng: blueprint.draw(rng, family.lexicon), 0)
        found.append(attempt)
        unique.add(example.content)
    return found
