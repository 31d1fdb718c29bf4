"""Answers to a file of inputs from a file of demonstrations, checked as the files of a suite are, in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from metaicl.inference.explanation import explained
from metaicl.inference.fitted import FittedMethod
from metaicl.inference.input_rows import USUAL_NAMES, ColumnNames
from metaicl.methods.base import Method
from metaicl.methods.predictor import Answer
from task_suites.core.errors import UserError, counted
from task_suites.core.files import STANDARD_INPUT
from task_suites.example import Example, labels_problem
from task_suites.sources.local import parse_example, parse_query

CHOICES = "Give each demonstration its options to choose from."
ANSWERED = ("answer", "scores", "probabilities", "explanation")  # what is added to a row
PREFIXES = {"scores": "score.", "probabilities": "probability."}  # of a table's columns, one for each label
BATCH = 256  # queries that are answered together
KINDS = {"options": "an input with options", "text": "an input with free text as its answer", "tags": "tokens and tags"}


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

    def read(self) -> Iterator[tuple[Example, dict[str, Any]]]:
        """Yield (query, its row as it was given), read as they are requested.

        Raises:
            UserError: names file and line of what is wrong.
        """
        found = 0
        added = {*ANSWERED, *(f"{prefix}{label}" for prefix in PREFIXES.values() for label in self.labels)}
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

    @property
    def queries(self) -> list[Example]:
        """All queries."""
        return [query for query, _ in self.read()]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All rows."""
        return [row for _, row in self.read()]


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
    labels, note = labels_of(support, demos)
    questions = Questions(with_labels(support, labels), labels, inputs, None, note, names)
    if inputs == STANDARD_INPUT:
        return questions
    return replace(questions, count=sum(1 for _ in questions.read()))


@dataclass(frozen=True)
class Shown:
    """What is said with an answer.

    Attributes:
        probabilities: whether the softmax of the scores stands beside them.
        at_least: the least probability of the best option; below it the answer is null. None answers always.
        explain: whether each answer has what each demonstration does for it.
    """

    probabilities: bool = False
    at_least: float | None = None
    explain: bool = False


PLAIN = Shown()


def predict_lines(method: Method, demos: Path, inputs: Path, instruction: str = "") -> Iterable[dict[str, Any]]:
    """Return answers to the rows of `inputs` from those of `demos`; see `read_questions` and `answer_questions`."""
    questions = read_questions(demos, inputs)
    return answer_questions(FittedMethod.around(method, questions.support, questions.labels, instruction), questions)


def answer_questions(
    fitted: FittedMethod, questions: Questions, shown: Shown = PLAIN, done: int = 0
) -> Iterator[dict[str, Any]]:
    """Yield one dictionary a row, in order: what was given, `answer`, and `scores` by option.

    Args:
        done: the number of rows at the beginning that are passed over.
    """
    rest = islice(questions.read(), done, None)
    while batch := list(islice(rest, BATCH)):
        answers = fitted.answers([query for query, _ in batch])
        for (query, row), answer in zip(batch, answers, strict=True):
            yield {**row, **_answered(fitted, query, answer, shown)}


def _answered(fitted: FittedMethod, query: Example, answer: Answer, shown: Shown) -> dict[str, Any]:
    found: dict[str, Any] = {"answer": list(answer.text) if isinstance(answer.text, tuple) else answer.text}
    if answer.scores is not None:
        scores = np.asarray(answer.scores, np.float64)
        shares = softmax(scores)
        if shown.at_least is not None and shares.max() < shown.at_least:
            found["answer"] = None
        found["scores"] = {o: round(float(s), 5) for o, s in zip(query.options or (), scores, strict=True)}
        if shown.probabilities:
            pairs = zip(query.options or (), shares, strict=True)
            found["probabilities"] = {option: round(float(share), 5) for option, share in pairs}
    if shown.explain:
        influences = explained(fitted, query).demonstrations
        found["explanation"] = [{"input": one.text, "answer": one.answer, "change": one.change} for one in influences]
    return found


def support_of(rows: Iterable[tuple[str, Any]], path: object, labels: tuple[str, ...] = ()) -> list[Example]:
    """Return demonstrations, each from (where it stands, JSON object); all are of one kind.

    Raises:
        UserError: names what is wrong and where.
    """
    support: list[Example] = []
    for where, row in rows:
        example = parse_example(row, labels, where)
        if support and example.form != support[0].form:
            found, expected = KINDS[example.form], f"{KINDS[support[0].form]}, as in the lines before"
            raise UserError("demonstrations of two kinds in one file", where=where, found=found, expected=expected)
        support.append(example)
    if not support:
        raise UserError("no demonstrations", where=path, expected='lines such as {"input": "...", "output": "..."}')
    return support


def labels_of(support: list[Example], where: object) -> tuple[tuple[str, ...], str]:
    """Return (the labels of a classification, what is said about the demonstrations).

    Raises:
        UserError: two labels are hard to tell apart.
    """
    outputs = sorted({e.output for e in support if e.output is not None})
    several = any(e.accepted for e in support)  # a class has one name
    if support[0].form != "text" or several:
        return (), ""
    if len(outputs) in (1, len(support)):
        found = f"the answer {outputs[0]!r}" if len(outputs) == 1 else "an answer of their own each"
        all_have = f"all {len(support)} demonstrations have" if len(support) > 1 else "the only demonstration has"
        return (), (
            f"{where}: {all_have} {found}: this is taken for free text. A classification shows in two labels or more, "
            f"one of which repeats; or give each its options: {json.dumps({'options': [*outputs[:2], '...']})[1:-1]}."
        )
    if wrong := labels_problem(outputs):
        fix = f"Write them alike. Or: {CHOICES}"
        raise UserError(wrong[0], where=where, found=wrong[1], expected=wrong[2], fix=fix)
    return tuple(outputs), ""


def with_labels(support: Sequence[Example], labels: tuple[str, ...]) -> list[Example]:
    """Return demonstrations that have the labels of their classification as options; tagged sentences have none."""
    return [replace(e, options=labels) if labels and e.tokens is None else e for e in support]


def query_of(row: Any, first: Example, labels: tuple[str, ...], where: object) -> Example:
    """Return a query from a JSON object, as an example of the demonstrations' kind.

    Args:
        first: the first demonstration.

    Raises:
        UserError: it is of another kind, or has other options.
    """
    query = parse_query(row, where)
    if (query.form == "tags") != (first.form == "tags"):
        found, expected = ("input", "tokens") if first.form == "tags" else ("tokens", "input")
        raise UserError("another kind of input than the demonstrations", where=where, found=found, expected=expected)
    if first.form == "options" and not labels and query.options is None:
        fix = 'Add "options": ["...", "..."] to the line.'
        raise UserError(
            "options are missing", where=where, expected="a list of choices, as in the demonstrations", fix=fix
        )
    if labels:
        if query.options is not None and set(query.options) != set(labels):
            expected = f"none, or the {counted(len(labels), 'answer')} of the demonstrations: {list(labels)[:20]}"
            fix = f"Leave the options out. Or: {CHOICES}"
            raise UserError("other options", where=where, found=list(query.options), expected=expected, fix=fix)
        return replace(query, options=query.options or labels)
    if first.form == "text" and query.options is not None:
        expected = "none, as the demonstrations have free text as their answers"
        fix = f"Leave the options out. Or: {CHOICES}"
        raise UserError("options", where=where, found=list(query.options), expected=expected, fix=fix)
    return query
