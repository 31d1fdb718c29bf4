"""Demonstrations as a support set: what they are taken for, and queries of their kind. What is wrong is one error."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from task_suites.core.errors import UserError, counted
from task_suites.example import Example, labels_problem
from task_suites.sources.cells import as_typed
from task_suites.sources.local import parse_example, parse_query

CHOICES = "Give each demonstration its options to choose from."
KINDS = {"options": "an input with options", "text": "an input with free text as its answer", "tags": "tokens and tags"}


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
            raise UserError("the demonstrations are of two kinds", where=where, found=found, expected=expected)
        support.append(example)
    if not support:
        raise UserError(
            "no demonstrations are given", where=path, expected='lines such as {"input": "...", "output": "..."}'
        )
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
        found = f"all have the answer {outputs[0]!r}" if len(outputs) == 1 else "all have different answers"
        what = f"the {len(support)} demonstrations {found}" if len(support) > 1 else "there is only one demonstration"
        return (), (
            f"{where}: {what}, so answers are generated as free text. For a classification, show at least two labels, "
            f"one of them twice, or give each its options: {json.dumps({'options': [*outputs[:2], '...']})[1:-1]}."
        )
    if wrong := labels_problem(outputs):
        fix = f"Write them alike. Or: {CHOICES}"
        raise UserError(wrong[0], where=where, found=wrong[1], expected=wrong[2], fix=fix)
    return tuple(outputs), ""


def typed_labels(support: list[Example], where: object) -> list[Example]:
    """Return the demonstrations of a file without types, its labels as a file with types gives them: `1.0` is 1 and
    `True` is true. Free text stays as it is.

    Raises:
        UserError: see `labels_of`.
    """
    typed = [e if e.output is None else replace(e, output=as_typed(e.output)) for e in support]
    return typed if labels_of(typed, where)[0] else support


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
        raise UserError(
            "the input is of another kind than the demonstrations", where=where, found=found, expected=expected
        )
    if first.form == "options" and not labels and query.options is None:
        fix = 'Add "options": ["...", "..."] to the line.'
        raise UserError(
            "options are missing", where=where, expected="a list of choices, as in the demonstrations", fix=fix
        )
    if labels:
        if query.options is not None and set(query.options) != set(labels):
            expected = f"none, or the {counted(len(labels), 'answer')} of the demonstrations: {list(labels)[:20]}"
            raise _wrong_options("the options are not the demonstrations' answers", query, expected, where)
        return replace(query, options=query.options or labels)
    if first.form == "text" and query.options is not None:
        expected = "no options, as the answers of the demonstrations are free text"
        raise _wrong_options("the input has options, and the demonstrations have none", query, expected, where)
    return query


def _wrong_options(what: str, query: Example, expected: str, where: object) -> UserError:
    fix = f"Leave the options out. Or: {CHOICES}"
    return UserError(what, where=where, found=list(query.options or ()), expected=expected, fix=fix)
