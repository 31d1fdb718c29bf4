"""Answers to a file of inputs from a file of demonstrations."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from metaicl.inference.opening import user_task
from metaicl.methods.base import Answer, Method
from task_suites.errors import UserError
from task_suites.sources.local import are_texts, parse_example
from task_suites.task import Example


def predict_lines(method: Method, demos: Path, inputs: Path, instruction: str = "") -> Iterable[dict[str, Any]]:
    """Answers to the rows of `inputs` (JSON lines without answers) from those of `demos` (with answers).

    Demonstrations with an output and no options are a classification over the outputs that occur when these repeat and
    none has further `accepted` answers, else free text. One dictionary a row: what was given, `answer`, and `scores`
    by option.

    Raises:
        UserError: names file and line of what is wrong.
    """
    support = [parse_example(row, (), where) for row, where in _rows(demos)]
    if not support:
        raise UserError("no demonstrations", where=demos, expected="one JSON object a line, with input and output")
    outputs = sorted({e.output for e in support if e.output is not None})
    labels: tuple[str, ...] = ()
    several = any(e.accepted for e in support)  # a class has one name
    if support[0].form == "text" and 1 < len(outputs) < len(support) and not several:
        labels = tuple(outputs)
        support = [Example(e.input, e.output, labels) for e in support]
    form = support[0].form
    if any(e.form != form for e in support):
        raise UserError("demonstrations of different forms", where=demos, expected="one form in a file")
    queries, given = [], []
    for row, where in _rows(inputs):
        queries.append(_query(row, where, form, labels))
        given.append(row)
    predictor = method.adapt(user_task(support, labels, instruction), support)
    for row, query, answer in zip(given, queries, predictor.answers(queries), strict=True):
        yield {**row, **_answered(query, answer)}


def _answered(query: Example, answer: Answer) -> dict[str, Any]:
    if answer.scores is None:
        return {"answer": list(answer.text) if isinstance(answer.text, tuple) else answer.text}
    return {
        "answer": answer.text,
        "scores": {o: round(float(s), 5) for o, s in zip(query.options or (), answer.scores, strict=True)},
    }


def _query(row: Any, where: str, form: str, labels: tuple[str, ...]) -> Example:
    """A query from a row that has an input (or tokens) and maybe options, and no need of an answer."""
    if not isinstance(row, dict):
        raise UserError("not a JSON object", where=where, found=type(row).__name__)
    needed = "tokens" if form == "tags" else "input"
    value, options = row.get(needed), labels or row.get("options") or ()
    if not value:
        raise UserError(f"{needed} is missing or empty", where=where, found=f"keys {sorted(row)}")
    if not (are_texts(value) if form == "tags" else isinstance(value, str)):
        expected = "a list of strings" if form == "tags" else "a string"
        raise UserError(f"{needed} has a wrong type", where=where, found=repr(value)[:60], expected=expected)
    if form == "tags":
        return Example(tokens=tuple(value))
    if form == "options" and not (are_texts(list(options)) and len(options) > 1):
        raise UserError("options are missing", where=where, expected="as in the demonstrations, a list of choices")
    return Example(value, None, tuple(options) if form == "options" else None)


def _rows(path: Path) -> Iterable[tuple[Any, str]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield json.loads(line), f"{path}:{number}"
            except json.JSONDecodeError as error:
                raise UserError(f"not JSON ({error.msg})", where=f"{path}:{number}", found=repr(line[:60])) from None
