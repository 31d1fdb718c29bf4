"""What the audit says of a task's answers and texts: balance, positions, answers in the input, lengths, languages."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from task_suites.core.errors import counted
from task_suites.example import Example
from task_suites.task import Task

PARTS = ("train", "test")
NEARLY_ALL = 0.95  # of a split's answers one and the same: nearly one label
ENOUGH = 20  # examples below which a share says little
TELLS = 0.2  # by which guessing the option that stands in the input beats guessing the most frequent one
SAMPLE = 32  # texts of a task whose language is detected
LETTERS = 60  # of a text; shorter ones are joined, a few words are detected wrongly too often
FOREIGN = 0.2  # of a task's sample in another language: mixed
_WORDS = re.compile(r"\w+")


@dataclass(frozen=True)
class Lengths:
    """Lengths of examples (input and answer) in the unit of the audit's `length`.

    Attributes:
        median, p95, longest: over both splits.
        over: examples that are longer than the context.
        fit: demonstrations of mean length that fit into the context; None without a context.
    """

    median: float
    p95: float
    longest: int
    over: int = 0
    fit: int | None = None


@dataclass(frozen=True)
class InInput:
    """How far the input gives the answer away, word for word.

    Attributes:
        answer: the share of examples whose input holds the right answer.
        one_option: how many examples there are whose input holds exactly one of the options.
        right: the share of these in which it is the right one.
        baseline: what the most frequent answer (or chance, where options are an item's own) would get right.
    """

    answer: float
    one_option: int = 0
    right: float = 0.0
    baseline: float = 0.0

    @property
    def answer_leaks_into_input(self) -> bool:
        return self.one_option >= ENOUGH and self.right - self.baseline >= TELLS


@dataclass
class Notes:
    """What there is to know of one task.

    Attributes:
        examples: the number of examples in both splits.
        form: options, text or tags.
        majority: split -> (the most frequent answer, its share), where answers are labels.
        position: (position of the right option, its share) where each item has options of its own.
        in_input: whether answers stand in inputs; None for tags.
        contradictions: pairs of examples (task, split, index) with one input and different answers.
        languages: language -> share of a sample; empty where none was told.
    """

    examples: int
    form: str
    majority: dict[str, tuple[str, float]] = field(default_factory=dict)
    position: tuple[int, float] | None = None
    in_input: InInput | None = None
    lengths: Lengths | None = None
    contradictions: list[Any] = field(default_factory=list)
    languages: dict[str, float] = field(default_factory=dict)

    def warnings(self) -> list[str]:
        """Return one sentence for each thing that is out of the ordinary."""
        said = []
        for part, (answer, share) in self.majority.items():
            if share == 1:
                said.append(f"{part} has one label, {answer!r}")
            elif share >= NEARLY_ALL:
                said.append(f"{part} has nearly one label: {share:.1%} are {answer!r}")
        if self.position and self.position[1] >= NEARLY_ALL:
            said.append(f"the right option is at position {self.position[0]} in {self.position[1]:.1%}")
        if self.contradictions:
            said.append(f"{counted(len(self.contradictions), 'input')} with two answers")
        if self.in_input and self.in_input.answer_leaks_into_input:
            i = self.in_input
            said.append(
                f"the one option that the input holds is right in {i.right:.0%} of {i.one_option} examples"
                f" (guessing: {i.baseline:.0%})"
            )
        if self.lengths and self.lengths.over:
            said.append(f"{self.lengths.over} examples are longer than the context")
        if len(self.languages) > 1 and sorted(self.languages.values())[-2] >= FOREIGN:
            said.append("languages: " + ", ".join(f"{code} {share:.0%}" for code, share in self.languages.items()))
        return said

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "warnings": self.warnings()}


def answers(example: Example) -> set[object]:
    """Return all right answers of an example: its output and those accepted, or its tags."""
    return {example.tags} if example.form == "tags" else {example.output, *example.accepted}


def note_task(
    task: Task, context: int = 0, length: Callable[[str], int] | None = None, languages: bool = True
) -> Notes:
    """Return the notes on a task, without contradictions, which need the duplicates.

    Args:
        context: the size of a context in the unit of `length`; 0 compares with none.
        length: the length of a text; words between blanks where none is given.
    """
    parts = {part: task.examples(part) for part in PARTS}
    total = sum(map(len, parts.values()))
    notes = Notes(total, parts["train"][0].form)
    notes.lengths = _lengths((e for part in PARTS for e in parts[part]), context, length)
    if notes.form == "options":
        if task.labels or task.type == "classification":
            counts = {part: Counter(str(e.output) for e in examples) for part, examples in parts.items()}
            for part, counter in counts.items():
                answer, count = counter.most_common(1)[0]
                notes.majority[part] = (answer, round(count / len(parts[part]), 4))
        if not task.labels:
            places = Counter((e.options or ()).index(str(e.output)) + 1 for p in PARTS for e in parts[p])
            place, count = places.most_common(1)[0]
            notes.position = (place, round(count / total, 4))
    if notes.form != "tags":
        notes.in_input = _in_input([e for part in PARTS for e in parts[part]])
    if languages:
        notes.languages = _languages([parts["train"], parts["test"]])
    return notes


def _lengths(examples: Iterable[Example], context: int, length: Callable[[str], int] | None) -> Lengths:
    measure = length or (lambda text: len(text.split()))
    values = sorted(measure(f"{e.text} {e.output or ''}") for e in examples)
    mean = statistics.fmean(values)
    return Lengths(
        median=statistics.median(values),
        p95=values[int(0.95 * (len(values) - 1))],
        longest=values[-1],
        over=sum(value > context for value in values) if context else 0,
        fit=int(context // max(mean, 1)) if context else None,
    )


def _in_input(examples: Sequence[Example]) -> InInput:
    """Whole words are looked for, case aside; where all options are listed in the input, none stands out."""
    held = alone = right = 0
    outputs: Counter[str] = Counter()
    chance = 0.0
    for e in examples:
        text = _spaced(e.input)
        outputs[str(e.output)] += 1
        chance += 1 / len(e.options or (1,))
        held += _spaced(str(e.output)) in text
        if e.options:
            inside = [option for option in e.options if _spaced(option) in text]
            if len(inside) == 1:
                alone += 1
                right += inside[0] == e.output
    own = len({e.options for e in examples[:ENOUGH]}) > 1
    baseline = chance / len(examples) if own else outputs.most_common(1)[0][1] / len(examples)
    if not examples[0].options:
        return InInput(round(held / len(examples), 4))
    return InInput(round(held / len(examples), 4), alone, round(right / max(alone, 1), 4), round(baseline, 4))


def _spaced(text: str) -> str:
    words = _WORDS.findall(text.casefold())
    return f" {' '.join(words)} " if words else f" {text.strip()} "


def _languages(parts: Sequence[Sequence[Example]]) -> dict[str, float]:
    """Language (ISO 639-1) -> share, most frequent first, of evenly spread texts; short ones are joined."""
    from py3langid import classify  # a model of 4 MB inside the package, read on first use

    joined: list[str] = []
    for examples in parts:
        step = max(1, len(examples) // SAMPLE)
        for index in range(0, min(len(examples), step * SAMPLE), step):
            text = examples[index].text
            if joined and sum(map(str.isalpha, joined[-1])) < LETTERS:
                joined[-1] += "\n" + text
            else:
                joined.append(text)
    told = Counter(str(classify(text)[0]) for text in joined if any(map(str.isalpha, text)))
    return {language: round(count / told.total(), 3) for language, count in told.most_common()}
