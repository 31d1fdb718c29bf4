"""Texts and labels as a user of scikit-learn hands them over: lists, NumPy arrays, pandas columns. They are checked
here, by position, and leave as plain strings and as one array of labels of one type."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Set
from typing import Any

import numpy as np
from sklearn.utils.validation import column_or_1d

from task_suites.core.errors import UserError, UserTypeError, refuse_half_characters
from task_suites.example import labels_problem

LABEL_TYPES = "strings, integers or booleans, all of one type"


def as_texts(X: Any) -> list[str]:
    """Return the texts of `X` in their order, as plain strings.

    Raises:
        UserTypeError: `X` is not a sequence, or an element is not a string; the message names its position.
        UserError: `X` has several dimensions, or a text is empty or not Unicode.
    """
    _refuse_masked(X, "X")
    values = np.asarray(X) if hasattr(X, "__array__") else X
    return [_as_text(value, f"X[{position}]") for position, value in enumerate(_elements(values, "X", "texts"))]


def as_one_text(x: Any) -> str:
    """Return the only input `x` as a plain string.

    Raises:
        UserTypeError: it is not a string.
        UserError: it is empty or not Unicode.
    """
    return _as_text(x, "x")


def as_labels(y: Any) -> np.ndarray:
    """Return the labels `y` as an array `[labels]`: of strings, integers, booleans or whole floats, in the dtype of
    `y`. An object array keeps its dtype where it holds strings, and becomes integers or booleans where it holds these.

    Raises:
        UserTypeError: `y` is not a sequence, a label is missing or cannot name a class, or types are mixed.
        UserError: `y` is None or has several columns, or holds fractions.
    """
    if y is None:
        raise UserError("fit requires y to be passed, but the target y is None", expected=LABEL_TYPES)
    _refuse_masked(y, "y")
    if len(getattr(y, "shape", ())) == 2:  # one column is taken with scikit-learn's own warning
        if y.shape[1] != 1:
            raise UserError("y has several outputs", found=f"{y.shape[1]} columns", expected="one label for each text")
        y = column_or_1d(y, warn=True)
    array = np.asarray(y) if hasattr(y, "__array__") else None
    values = _elements(y if array is None else array, "y", "labels")
    if array is None or array.dtype.kind not in "biufU":
        values = list(values)
        kind = _one_type(values)
        if kind == "string":  # NumPy would write a member of an enumeration by its name, and cut it off
            plain = [str.__str__(label) for label in values]
            array = np.array(plain, dtype=None if array is None else object)
        else:
            array = np.array(values)
    if array.dtype.kind == "f":
        _refuse_fractions(array)
    return array


def joined_labels(labels: np.ndarray, more: np.ndarray) -> np.ndarray:
    """Return labels and further ones, in the dtype of the former where it holds them all.

    Raises:
        UserTypeError: they are of different types.
    """
    joined = as_labels([*labels.tolist(), *more.tolist()])
    if labels.dtype.kind == "U":  # a dtype of texts says how long they may be
        return joined
    cast = joined.astype(labels.dtype)
    return cast if cast.tolist() == joined.tolist() else joined


def label_texts(classes: np.ndarray) -> tuple[str, ...]:
    """Return how each class is written in a prompt: a whole float as its integer, everything else by `str`.

    Raises:
        UserError: a label is empty, has a line break or is not Unicode, or two differ only by blanks or case.
    """
    texts = tuple(str(int(label)) if classes.dtype.kind == "f" else str(label) for label in classes)
    for text in texts:
        refuse_half_characters(text, "a label of y")
        if "\0" in text:  # NumPy drops it at the end of a text
            raise UserError("a label of y has a NUL character", found=repr(text[:60]), expected="one line of text")
    if wrong := labels_problem(texts):
        what, found, expected = wrong
        raise UserError(f"y: {what}", found=found, expected=expected, fix="Write equal labels alike, or rename one.")
    return texts


def _refuse_masked(values: Any, name: str) -> None:
    """Raise where a masked array has masked elements, which a plain array would show with what lies under the mask."""
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        position = tuple(int(i) for i in np.argwhere(np.ma.getmaskarray(values))[0])
        where = f"{name}[{', '.join(map(str, position))}]"
        raise UserTypeError(f"{where} is masked", expected="a value", fix="Leave masked rows out of X and y.")


def _elements(values: Any, name: str, what: str) -> Iterable[Any]:
    """Return the elements of a one-dimensional sequence; its index, where it has one, plays no part."""
    expected = f"a list, a NumPy array or a pandas column of {what}"
    if isinstance(values, str | bytes):
        raise UserTypeError(
            f"{name} is a single string", found=repr(values[:60]), expected=expected, fix="Put it in a list."
        )
    if isinstance(values, Mapping | Set) or not isinstance(values, Iterable):
        raise UserTypeError(f"{name} is not a sequence of {what}", found=type(values).__name__, expected=expected)
    shape = getattr(values, "shape", (0,))
    if len(shape) != 1:
        raise UserError(
            f"{name} has {len(shape)} dimensions",
            found=f"shape {tuple(shape)}",
            expected=expected,
            fix='Give one column, such as frame["text"] or array[:, 0].',
        )
    return values


def _as_text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        found = f"{value!r:.60} ({type(value).__name__})"
        raise UserTypeError(f"{where} is not a text", found=found, expected="a string")
    if not value.strip():
        raise UserError(f"{where} is empty", found=repr(str(value[:60])), expected="some text")
    refuse_half_characters(value, where)
    return str(value)


def _one_type(labels: list[Any]) -> str:
    """Return the type that all labels have, as a word."""
    first: dict[str, int] = {}
    for position, label in enumerate(labels):
        first.setdefault(_type_of(label, f"y[{position}]"), position)
    if len(first) > 1:
        found = " and ".join(f"y[{position}] is {labels[position]!r}" for position in list(first.values())[:2])
        raise UserTypeError("y mixes labels of different types", found=found, expected=LABEL_TYPES)
    return next(iter(first), "string")


def _type_of(label: Any, where: str) -> str:
    if isinstance(label, str):
        return "string"
    if isinstance(label, bool | np.bool_):
        return "boolean"
    if isinstance(label, int | np.integer) and not isinstance(label, np.timedelta64):  # NumPy counts spans as integers
        return "integer"
    if isinstance(label, float | np.floating) and not math.isnan(label):
        return "float"
    if isinstance(label, list | tuple | np.ndarray):
        raise UserError(f"{where} has several outputs", found=f"{label!r:.60}", expected="one label for each text")
    raise UserTypeError(f"{where} is not a label", found=f"{label!r:.60}", expected=LABEL_TYPES)


def _refuse_fractions(labels: np.ndarray) -> None:
    """Whole floats are classes to scikit-learn; anything else in a float array is not a class."""
    for position in np.flatnonzero(~np.isfinite(labels))[:1]:
        raise UserTypeError(f"y[{position}] is not a label", found=labels[position], expected=LABEL_TYPES)
    for position in np.flatnonzero(labels != np.floor(labels))[:1]:
        raise UserError(
            f"Unknown label type: y[{position}] is a fraction",
            found=labels[position],
            expected=LABEL_TYPES,
            fix="A classifier learns classes; bin the values, or give their names.",
        )
