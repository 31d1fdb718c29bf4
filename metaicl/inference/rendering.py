"""A prompt in parts, for people: which text is an instruction, a demonstration, its answer, the query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from metaicl.inference.fitted import FittedMethod
from metaicl.methods.in_context.icl import InContext
from task_suites.example import Example

Kind = Literal["instruction", "demonstration", "answer", "query"]


@dataclass(frozen=True)
class Part:
    """A piece of a prompt.

    Attributes:
        kind: what it is.
        text: the text, with the blanks and line breaks around it.
        demonstration: the index in the support set, where it belongs to one.
    """

    kind: Kind
    text: str
    demonstration: int | None = None


def prompt_parts(fitted: FittedMethod, query: Example) -> list[Part]:
    """Return the prompt of a query up to its answer; empty for a method that makes none."""
    method = fitted.method
    if not isinstance(method, InContext) or method.form.channel:
        return []
    task, form = fitted.task, method.form_of(fitted.task)
    ((shown, _),) = method.selector(task, fitted.support).groups([query])
    left = shown[: len(shown) - fitted.dropped]
    parts = [Part("instruction", segment.text) for segment in form.opening(task)]
    places = dict(enumerate(fitted.support))
    for example in left:
        index = next(i for i, other in places.items() if other == example)
        del places[index]  # an equal demonstration after it is the next one
        for segment in form.demonstration(example):
            parts.append(Part("answer" if segment.scored else "demonstration", segment.text, index))
    return [*(part for part in parts if part.text), Part("query", form.question(query).text)]
