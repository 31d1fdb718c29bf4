"""Prompts as the report shows them, and the two files of a run's folder that hold them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from task_suites.core.atomic import write_text
from task_suites.core.errors import UserError
from task_suites.core.field_types import read_object
from task_suites.core.json_files import read_json

EXAMPLE, MISTAKES = "prompt.json", "mistakes.json"


@dataclass(frozen=True)
class ShownSegment:
    """A piece of a prompt: what it is, its text, and whether it is scored."""

    role: str
    text: str
    scored: bool = False


@dataclass(frozen=True)
class ExamplePrompt:
    """A short prompt of a comparison: its task, its number of demonstrations, and its pieces."""

    task: str
    k: int
    segments: Sequence[ShownSegment]


@dataclass(frozen=True)
class MistakePrompt:
    """The prompt of one query: the task, the support set's seed, the query's index, and the prompt's pieces."""

    task: str
    seed: Any
    index: int
    segments: Sequence[ShownSegment]


@dataclass(frozen=True)
class MistakePrompts:
    """The prompts of a method's mistakes at one k."""

    method: str
    k: int
    prompts: Sequence[MistakePrompt]


def write_prompt(path: Path, prompt: ExamplePrompt | MistakePrompts) -> None:
    """Write prompts into a file, whole or not at all."""
    write_text(path, json.dumps(asdict(prompt), ensure_ascii=False) + "\n")


def read_example(folder: Path) -> ExamplePrompt | None:
    """Return the prompt that a run shows as an example; None where it has none.

    Raises:
        UserError: names what is wrong in the file.
    """
    path = folder / EXAMPLE
    if not path.is_file():
        return None
    found = read_object(ExamplePrompt, read_json(path), path, "the prompt")
    return ExamplePrompt(**{**found, "segments": _segments(found["segments"], path, "the prompt")})


def read_mistakes(folder: Path) -> MistakePrompts | None:
    """Return the prompts of a run's mistakes; None where it has none.

    Raises:
        UserError: names what is wrong in the file.
    """
    path = folder / MISTAKES
    if not path.is_file():
        return None
    found = read_object(MistakePrompts, read_json(path), path, "the top level")
    prompts = []
    for i, item in enumerate(found["prompts"]):
        one = read_object(MistakePrompt, item, path, f"prompts[{i}]")
        prompts.append(MistakePrompt(**{**one, "segments": _segments(one["segments"], path, f"prompts[{i}]")}))
    return MistakePrompts(**{**found, "prompts": prompts})


def _segments(items: Sequence[Any], path: Path, place: str) -> list[ShownSegment]:
    if not items:
        raise UserError(f"{place} has no segments", where=path, fix="Delete the file, or evaluate again.")
    places = (f"segments[{i}] of {place}" for i in range(len(items)))
    return [ShownSegment(**read_object(ShownSegment, s, path, p)) for s, p in zip(items, places, strict=True)]
