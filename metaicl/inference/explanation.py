"""Which demonstrations an answer rests on: how its log-probability changes where one of them is left out."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from html import escape
from typing import cast

from metaicl.inference.fitted import FittedMethod
from task_suites.core.errors import UserError
from task_suites.example import Example

IMPOSSIBLE = -1e6  # a log-probability below this one: without the demonstration the answer cannot be given


@dataclass(frozen=True)
class Influence:
    """What one demonstration does for an answer.

    Attributes:
        text: its input.
        answer: its answer.
        change: the log-probability of the explained answer given all demonstrations, less that without this one:
            positive where it speaks for the answer. None where the answer cannot be given without it.
    """

    text: str
    answer: str
    change: float | None


@dataclass(frozen=True)
class Explanation:
    """An answer, and what each demonstration does for it. It is shown as a table in a notebook.

    Attributes:
        text: the query.
        answer: the answer.
        logprob: its log-probability.
        demonstrations: in the order in which they were learned from.
    """

    text: str
    answer: str
    logprob: float
    demonstrations: tuple[Influence, ...]

    def ranked(self) -> list[Influence]:
        """Return the demonstrations by the size of their influence, the largest first."""
        return sorted(self.demonstrations, key=lambda one: -abs(one.change if one.change is not None else 1e9))

    def __str__(self) -> str:
        lines = [f"{self.text!r} -> {self.answer!r} (log-probability {self.logprob:.3f})"]
        return "\n".join([*lines, *(f"{_number(d.change):>9}  {d.answer}: {d.text}" for d in self.ranked())])

    def _repr_html_(self) -> str:
        changes = [abs(one.change) for one in self.demonstrations if one.change is not None]
        most = max(changes, default=0.0) or 1.0
        rows = "".join(_html_row(one, most) for one in self.ranked())
        head = "<tr><th>change</th><th></th><th>answer</th><th>demonstration</th></tr>"
        return (
            f"<p>{escape(self.text)} &rarr; <b>{escape(self.answer)}</b> (log-probability {self.logprob:.3f})</p>"
            f"<table>{head}{rows}</table>"
        )


def explained(fitted: FittedMethod, query: Example) -> Explanation:
    """Return the answer to a query with the influence of each demonstration, by leaving each out in turn.

    Raises:
        UserError: the method gives no probabilities of its answers.
    """
    steps = explaining(fitted, query)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast(Explanation, end.value)


def explaining(fitted: FittedMethod, query: Example) -> Generator[None, None, Explanation]:
    """Return what `explained` does, and stop after each demonstration."""
    (answer,) = fitted.answers([query])
    logprob = fitted.answer_logprob(query, answer.text)
    form = fitted.method.form_of(fitted.task)
    found = []
    for index, example in enumerate(fitted.support):
        without = _without(fitted, index, query, answer.text)
        change = None if without is None or without < IMPOSSIBLE else logprob - without
        found.append(Influence(example.text, form.answer_text(example), change))
        yield
    shown = " ".join(answer.text) if isinstance(answer.text, tuple) else answer.text
    return Explanation(query.text, shown, logprob, tuple(found))


def _without(fitted: FittedMethod, index: int, query: Example, answer: str | tuple[str, ...]) -> float | None:
    """Return the log-probability without one demonstration; None where the method cannot learn from the others."""
    try:
        return fitted.logprob_without(index, query, answer)
    except UserError:
        return None


def _number(change: float | None) -> str:
    return "needed" if change is None else f"{change:+.3f}"


def _html_row(one: Influence, most: float) -> str:
    size = 100 if one.change is None else round(100 * abs(one.change) / most)
    colour = "#c2410c" if one.change is not None and one.change < 0 else "#0f766e"
    bar = f'<div style="background:{colour};height:0.8em;width:{size}px"></div>'
    cells = (_number(one.change), bar, escape(one.answer), escape(one.text))
    return "<tr>" + "".join(f'<td style="text-align:left">{cell}</td>' for cell in cells) + "</tr>"
