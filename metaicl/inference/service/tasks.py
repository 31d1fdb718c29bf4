"""A client's demonstrations and inputs as examples, and a task from them. What is wrong is one error that names it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args, get_origin

from metaicl.inference.fitted import FittedMethod
from metaicl.inference.opening import MethodSource
from metaicl.inference.service.config import ServeRun
from metaicl.inference.service.schemas import Demonstration, NewTask, Query
from metaicl.inference.service.store import TaskRecord
from metaicl.inference.support import labels_of, query_of, support_of, with_labels
from metaicl.lm.models import kind_of
from metaicl.methods import METHODS, method_class
from metaicl.methods.options import option_types
from metaicl.training.checkpoint import trained_folder
from task_suites.core.errors import UserError, counted, nearest, refuse_half_characters
from task_suites.example import Example, labels_problem

LARGEST = 1000  # of a number among a method's options: a client may not order days of work
MOST_LABELS = 200


def served_methods(model: str) -> list[str]:
    """Return the methods that a client may name: those of the registry that run on the model as it is."""
    if trained_folder(model):
        return []
    kind = kind_of(model)
    classes = {name: method_class(name) for name in METHODS}
    return [name for name, cls in classes.items() if not cls.meta_trained and kind in cls.backbones]


def new_task(body: NewTask, config: ServeRun, methods: Sequence[str]) -> TaskRecord:
    """Return a task as a client describes it, checked.

    Raises:
        UserError: what is wrong with it.
    """
    for what, text in (("name", body.name), ("instruction", body.instruction)):
        refuse_half_characters(text, f"the {what}")
        check_length(text, config, what)
    _check_method(body.method, body.options, methods)
    check_demonstrations(body.demonstrations, config)
    labels = tuple(body.labels or ())
    if len(labels) > MOST_LABELS:
        raise UserError("too many labels", found=len(labels), expected=f"at most {MOST_LABELS}")
    for label in labels:
        refuse_half_characters(label, "a label")
        check_length(label, config, "label")
    if wrong := labels_problem(labels) if len(labels) != 1 else ("there is one label", list(labels), "several"):
        raise UserError(f"labels: {wrong[0]}", found=wrong[1], expected=wrong[2])
    support = _support(body.demonstrations, labels)
    if not labels:
        labels, _ = labels_of(support, "demonstrations")
    return TaskRecord(
        secrets.token_hex(12),
        body.name,
        body.instruction,
        body.method,
        dict(body.options),
        labels,
        demonstrations=tuple(body.demonstrations),
    )


def extended(record: TaskRecord, more: Sequence[Demonstration], config: ServeRun) -> TaskRecord:
    """Return a task with more demonstrations.

    Raises:
        UserError: they are too many, unsound, or of another kind.
    """
    check_demonstrations(more, config, len(record.demonstrations))
    whole = replace(record, demonstrations=(*record.demonstrations, *more), revision=record.revision + 1)
    _support(whole.demonstrations, record.labels)
    return whole


def fitting(record: TaskRecord, config: ServeRun) -> Callable[[FittedMethod | None], FittedMethod]:
    """Return what makes the fitted task, given an earlier revision of it."""

    def make(before: FittedMethod | None) -> FittedMethod:
        support = with_labels(_support(record.demonstrations, record.labels), record.labels)
        method = record.method or config.method
        source = MethodSource.find(config.model, method, bool(record.instruction), record.options)
        return FittedMethod(source, support, record.labels, record.instruction, before)

    return make


def queries_of(record: TaskRecord, inputs: Sequence[str | Query], config: ServeRun) -> list[Example]:
    """Return a client's inputs as queries of a task.

    Raises:
        UserError: they are too many, too long, or not of the demonstrations' kind.
    """
    if len(inputs) > config.max_inputs:
        raise UserError("too many inputs", found=len(inputs), expected=f"at most {config.max_inputs} in a request")
    (first,) = _support(record.demonstrations[:1], record.labels)
    found = []
    for index, one in enumerate(inputs):
        row = {"input": one} if isinstance(one, str) else one.model_dump(exclude_none=True)
        where = f"inputs[{index}]"
        _check_row(row, config, where)
        found.append(query_of(row, first, record.labels, where))
    return found


def check_demonstrations(given: Sequence[Demonstration], config: ServeRun, before: int = 0) -> None:
    """Raise where demonstrations are more, or longer, than a task may have; `before` are there already.

    Raises:
        UserError: they are too many, or one is too long.
    """
    if before + len(given) > config.max_demonstrations:
        found = counted(before + len(given), "demonstration")
        raise UserError("too many demonstrations", found=found, expected=f"at most {config.max_demonstrations}")
    for index, one in enumerate(given, before):
        _check_row(one.row(), config, f"demonstrations[{index}]")


def _support(demonstrations: Sequence[Demonstration], labels: tuple[str, ...]) -> list[Example]:
    """Return demonstrations as examples; an error names the one that is unsound."""
    located = ((f"demonstrations[{index}]", one.row()) for index, one in enumerate(demonstrations))
    return support_of(located, "demonstrations", labels)


def check_length(text: str, config: ServeRun, where: str) -> None:
    """Raise where a text is too long.

    Raises:
        UserError: says how long it may be.
    """
    if len(text) > config.max_characters:
        expected = f"at most {config.max_characters}"
        raise UserError("a text is too long", where=where, found=counted(len(text), "character"), expected=expected)


def _check_row(row: Mapping[str, Any], config: ServeRun, where: str) -> None:
    for value in row.values():
        if isinstance(value, list) and len(value) > config.max_characters:
            raise UserError("a list is too long", where=where, found=len(value), expected=config.max_characters)
        check_length(value if isinstance(value, str) else " ".join(value), config, where)


def _check_method(method: str | None, options: Mapping[str, Any], methods: Sequence[str]) -> None:
    """Raise unless a client may use the method with these options: it may not name modules, models or files.

    Raises:
        UserError: names the method or the option.
    """
    if method is not None and method not in methods:
        raise UserError(
            f"no method {method[:80]!r} on this model", fix=nearest(method[:80], methods) if methods else None
        )
    for name, value in options.items():
        hints = option_types(method_class(method).Config) if method else {}
        if isinstance(value, str) and not (name in hints and _is_choice(hints[name])):
            fix = "Over HTTP, options of a task are numbers, true or false, or one of the listed values (GET /methods)."
            raise UserError(f"option {name[:80]!r} cannot be a text here", found=f"{value[:80]!r}", fix=fix)
        if isinstance(value, int | float) and abs(value) > LARGEST:
            raise UserError(f"option {name[:80]!r} is too large", found=value, expected=f"at most {LARGEST}")
    if options and method is None:
        raise UserError("options are given without a method", fix="Name the method.")


def _is_choice(hint: Any) -> bool:
    return get_origin(hint) is Literal or any(map(_is_choice, get_args(hint)))
