"""The demonstrations and the questions of `predict`, from files that are checked as those of a suite are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Required, TypedDict

from metaicl.inference.input_rows import UNTYPED, USUAL_NAMES, ColumnNames, Row
from metaicl.inference.support import labels_of, query_of, support_of, typed_labels, with_labels
from task_suites.core.errors import UserError
from task_suites.core.files import STANDARD_INPUT
from task_suites.example import Example


class Answered(TypedDict, total=False):
    """What is added to a row: the answer (null where it is too unlikely), and numbers by option."""

    answer: Required[str | list[str] | None]
    scores: dict[str, float]
    probabilities: dict[str, float]
    explanation: list[dict[str, object]]


PREFIXES = {"scores": "score.", "probabilities": "probability."}  # of a table's columns, one for each label


@dataclass(frozen=True)
class Questions:
    """The demonstrations, and a file of questions that was checked whole before any model is opened. Standard input is
    checked as it comes.

    Attributes:
        support: the demonstrations.
        labels: of a classification; empty where each row has options of its own, or none.
        inputs: the file.
        count: the number of questions; None for standard input.
        note: what the demonstrations were taken for, where that is not plain; empty where it is.
        names: which column is what.
    """

    support: list[Example]
    labels: tuple[str, ...]
    inputs: Path
    count: int | None = None
    note: str = ""
    names: ColumnNames = USUAL_NAMES

    def read(self) -> Iterator[tuple[Example, Row]]:
        """Yield (query, its row as it was given), read as they are requested.

        Raises:
            UserError: names file and line of what is wrong.
        """
        found = 0
        added = {
            *Answered.__annotations__,
            *(f"{prefix}{label}" for prefix in PREFIXES.values() for label in self.labels),
        }
        for where, row, renamed in self.names.read(self.inputs, answered=False):
            if isinstance(row, dict) and (taken := sorted(row.keys() & added)):
                fix = f"Rename {taken[0]!r} in the file."
                raise UserError(
                    "an input has a key that its answer needs",
                    where=where,
                    found=taken,
                    expected="a line without them",
                    fix=fix,
                )
            found += 1
            yield query_of(renamed, self.support[0], self.labels, where), row
        if not found:
            raise UserError("there is nothing to answer", where=self.inputs, expected='lines such as {"input": "..."}')


def read_questions(demos: Path, inputs: Path, names: ColumnNames = USUAL_NAMES) -> Questions:
    """Return the demonstrations (with answers) and the inputs (without).

    Demonstrations with an output and no options are a classification over the outputs that occur when these repeat and
    none has further `accepted` answers, else free text.

    Raises:
        UserError: names file and line of what is wrong.
    """
    if demos == inputs == STANDARD_INPUT:
        raise UserError("demonstrations and inputs both come from standard input", fix="Give one of them as a file.")
    support = support_of(((where, row) for where, _, row in names.read(demos, answered=True)), demos)
    if demos.suffix.lower() in UNTYPED:
        support = typed_labels(support, demos)
    labels, note = labels_of(support, demos)
    questions = Questions(with_labels(support, labels), labels, inputs, None, note, names)
    if inputs == STANDARD_INPUT:
        return questions
    return replace(questions, count=sum(1 for _ in questions.read()))
