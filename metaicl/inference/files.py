"""Answers to a file of inputs from a file of demonstrations, both JSON lines, checked as the files of a suite are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from metaicl.inference.opening import user_task
from metaicl.methods.base import Method
from metaicl.methods.predictor import Answer
from task_suites.core.errors import UserError, counted
from task_suites.core.files import STANDARD_INPUT
from task_suites.core.json_files import read_json_lines
from task_suites.example import Example, labels_problem
from task_suites.sources.local import parse_example, parse_query

CHOICES = "Give each demonstration its options to choose from."
ANSWERED = ("answer", "scores")  # what is added to a row
KINDS = {"options": "an input with options", "text": "an input with free text as its answer", "tags": "tokens and tags"}


@dataclass(frozen=True)
class Questions:
    """The questions, read and checked whole before any model is opened.

    Attributes:
        support: the demonstrations.
        labels: of a classification; empty where each row has options of its own, or none.
        queries: one for each row of inputs.
        rows: the inputs as they were given.
        note: what the demonstrations were taken for, where that is not plain; empty where it is.
    """

    support: list[Example]
    labels: tuple[str, ...]
    queries: list[Example]
    rows: list[dict[str, Any]]
    note: str = ""


def read_questions(demos: Path, inputs: Path) -> Questions:
    """Return the demonstrations (with answers) and the inputs (without).

    Demonstrations with an output and no options are a classification over the outputs that occur when these repeat and
    none has further `accepted` answers, else free text.

    Raises:
        UserError: names file and line of what is wrong.
    """
    if demos == inputs == STANDARD_INPUT:
        raise UserError("demonstrations and inputs both come from standard input", fix="Give one of them as a file.")
    support = _demonstrations(demos)
    labels, note = _labels(support, demos)
    if labels:
        support = [replace(e, options=labels) for e in support]
    queries, rows = [], []
    for where, row in read_json_lines(inputs):
        if isinstance(row, dict) and (taken := sorted(row.keys() & set(ANSWERED))):
            fix = f"Rename {taken[0]!r} in the file."
            raise UserError(
                "a key of the answer is taken", where=where, found=taken, expected="a line without them", fix=fix
            )
        queries.append(_fitting(parse_query(row, where), support[0], labels, where))
        rows.append(row)
    if not queries:
        raise UserError("there is nothing to answer", where=inputs, expected='lines such as {"input": "..."}')
    return Questions(support, labels, queries, rows, note)


def predict_lines(method: Method, demos: Path, inputs: Path, instruction: str = "") -> Iterable[dict[str, Any]]:
    """Return answers to the rows of `inputs` from those of `demos`; see `read_questions` and `answer_questions`."""
    return answer_questions(method, read_questions(demos, inputs), instruction)


def answer_questions(method: Method, questions: Questions, instruction: str = "") -> Iterable[dict[str, Any]]:
    """Yield one dictionary a row: what was given, `answer`, and `scores` by option."""
    predictor = method.adapt(user_task(questions.support, questions.labels, instruction), questions.support)
    answers = predictor.answers(questions.queries)
    for row, query, answer in zip(questions.rows, questions.queries, answers, strict=True):
        yield {**row, **_answered(query, answer)}


def _answered(query: Example, answer: Answer) -> dict[str, Any]:
    if answer.scores is None:
        return {"answer": list(answer.text) if isinstance(answer.text, tuple) else answer.text}
    return {
        "answer": answer.text,
        "scores": {o: round(float(s), 5) for o, s in zip(query.options or (), answer.scores, strict=True)},
    }


def _demonstrations(path: Path) -> list[Example]:
    support: list[Example] = []
    for where, row in read_json_lines(path):
        example = parse_example(row, (), where)
        if support and example.form != support[0].form:
            found, expected = KINDS[example.form], f"{KINDS[support[0].form]}, as in the lines before"
            raise UserError("demonstrations of two kinds in one file", where=where, found=found, expected=expected)
        support.append(example)
    if not support:
        raise UserError("no demonstrations", where=path, expected='lines such as {"input": "...", "output": "..."}')
    return support


def _labels(support: list[Example], where: object) -> tuple[tuple[str, ...], str]:
    """Return (the labels of a classification, what is said about the demonstrations)."""
    outputs = sorted({e.output for e in support if e.output is not None})
    several = any(e.accepted for e in support)  # a class has one name
    if support[0].form != "text" or several or len(outputs) == len(support):
        return (), ""
    if len(outputs) == 1:
        return (), (
            f"{where}: all {len(support)} demonstrations have the answer {outputs[0]!r}: this is taken for free text. "
            f'For a classification give each its options: "options": ["{outputs[0]}", ...].'
        )
    if wrong := labels_problem(outputs):
        fix = f"Write them alike. Or: {CHOICES}"
        raise UserError(wrong[0], where=where, found=wrong[1], expected=wrong[2], fix=fix)
    return tuple(outputs), ""


def _fitting(query: Example, first: Example, labels: tuple[str, ...], where: object) -> Example:
    """Return the query as an example of the demonstrations' kind."""
    if (query.form == "tags") != (first.form == "tags"):
        found, expected = ("input", "tokens") if first.form == "tags" else ("tokens", "input")
        raise UserError("not of the demonstrations' kind", where=where, found=found, expected=expected)
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
