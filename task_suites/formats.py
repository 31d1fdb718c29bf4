"""`PromptFormat`: examples as text segments with roles, before any tokenizer.

Each segment is tokenised alone and the ids are concatenated, so a segment's tokens never depend on its neighbours: the
shared part of two prompts is the same ids in both. Separators and the leading blank of an answer belong to the format:

    direct     <input>\\nAnswer: <output>\\n\\n  ...  <input>\\nAnswer:| <option>           scored: the option
    channel    <output>\\n <input>\\n\\n         ...  <option>\\n| <input>                 scored: the input
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

from task_suites.errors import UserError
from task_suites.task import Example, Task

Role = Literal["instruction", "demo_input", "demo_output", "query", "option"]
STOP = "\n"
NO_SPAN = "none"


@dataclass(frozen=True)
class Segment:
    """A piece of a prompt: its role, its text, and whether its tokens are scored (and supervised in training)."""

    role: Role
    text: str
    scored: bool = False


@dataclass(frozen=True)
class PromptFormat:
    """How examples become prompts.

    Attributes:
        channel: score the input given the answer (Min et al. 2022, arXiv 2108.04106) instead of the answer given the
            input; only for examples with options.
        instruction: begin with the task's instruction.
        answer: what stands between an input and its answer in the direct format.
        separator: what ends a demonstration.
        target: `package.module:Name` of a subclass of one's own, built with the same attributes; empty for this class.
    """

    channel: bool = False
    instruction: bool = False
    answer: str = "\nAnswer:"
    separator: str = "\n\n"
    target: str = ""

    def resolved(self) -> PromptFormat:
        """The format itself, or the one that `target` names.

        Raises:
            UserError: `target` names no subclass of `PromptFormat`.
        """
        if not self.target or type(self) is not PromptFormat:
            return self
        from task_suites.sources import load_named

        cls = load_named(self.target)
        if not (isinstance(cls, type) and issubclass(cls, PromptFormat)):
            raise UserError(
                f"{self.target} is no PromptFormat", expected="a subclass of task_suites.formats.PromptFormat"
            )
        return cls(**{field.name: getattr(self, field.name) for field in fields(PromptFormat)})

    def opening(self, task: Task) -> list[Segment]:
        """The segments before the first demonstration."""
        wanted = self.instruction and task.instruction
        return [Segment("instruction", task.instruction + self.separator)] if wanted else []

    def demonstration(self, example: Example) -> list[Segment]:
        """An answered example as two segments; `scored` marks the one that is supervised where demonstrations are."""
        answer = self.answer_text(example)
        if self.channel:
            return [
                Segment("demo_output", f"{answer}\n"),
                Segment("demo_input", f" {example.text}{self.separator}", scored=True),
            ]
        return [
            Segment("demo_input", f"{example.text}{self.answer}"),
            Segment("demo_output", f" {answer}{self.separator}", scored=True),
        ]

    def branch(self, query: Example, answer: str) -> list[Segment]:
        """What follows the demonstrations for one query and one candidate answer; exactly one segment is scored."""
        if self.channel:
            return [Segment("option", f"{answer}\n"), Segment("query", f" {query.text}", scored=True)]
        return [self.question(query), Segment("option", f" {answer}", scored=True)]

    def question(self, query: Example) -> Segment:
        """The query alone, where an answer is to be generated.

        Raises:
            UserError: the format is channel, which cannot generate.
        """
        if self.channel:
            raise UserError("a channel prompt cannot generate", fix="Use the direct format for tagging and free text.")
        return Segment("query", f"{query.text}{self.answer}")

    def targets(self, example: Example) -> list[str]:
        """The candidate answers of an example: its options, else the one right answer (ended by a line break)."""
        if example.options is not None:
            return list(example.options)
        return [self.answer_text(example) + STOP]

    @staticmethod
    def answer_text(example: Example) -> str:
        """The answer as text; spans of a tagged sentence as `words = type; words = type`."""
        if example.tokens is None:
            assert example.output is not None, "the example is hidden"
            return example.output
        assert example.tags is not None, "the example is hidden"
        return "; ".join(f"{' '.join(example.tokens[a:b])} = {kind}" for kind, a, b in spans(example.tags)) or NO_SPAN


def spans(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """(type, start, end) of each BIO span, end exclusive; an I- that continues nothing opens a span (CoNLL's rule)."""
    found: list[tuple[str, int, int]] = []
    for i, tag in enumerate(tags):
        if tag == "O":
            continue
        prefix, kind = tag.split("-", 1)
        if prefix == "I" and found and found[-1][0] == kind and found[-1][2] == i:
            found[-1] = (kind, found[-1][1], i + 1)
        else:
            found.append((kind, i, i + 1))
    return found


def parse_tags(text: str, tokens: Sequence[str]) -> tuple[str, ...]:
    """BIO tags from generated text `words = type; ...`.

    Each item is looked for in the sentence from left to right, at the first place that no earlier item took; an item
    that is not a run of the sentence's words is left out. So a span whose words also stand further left, untagged, is
    put there, and a span that holds a semicolon is lost.
    """
    tags = ["O"] * len(tokens)
    for item in text.split(STOP)[0].split(";"):
        words, equals, kind = (part.strip() for part in item.rpartition("="))
        wanted = words.split()
        if not (equals and wanted and kind):
            continue
        n = len(wanted)
        for start in range(len(tokens) - n + 1):
            free = all(tag == "O" for tag in tags[start : start + n])
            if free and list(tokens[start : start + n]) == wanted:
                tags[start : start + n] = [f"B-{kind}"] + [f"I-{kind}"] * (n - 1)
                break
    return tuple(tags)
