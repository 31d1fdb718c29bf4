"""The fields of a dataclass from a JSON object, each of the type that the dataclass declares."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from task_suites.core.errors import UserError

NAMES: Mapping[Any, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def read_object(cls: type, value: Any, where: object, place: str, *more: str) -> dict[str, Any]:
    """Return the fields of a dataclass that a JSON object has; what else it has is passed over.

    Raises:
        UserError: it is not an object, it lacks a field that has no default or one of `more`, or a field has another
            type.
    """
    if not isinstance(value, dict):
        raise UserError(f"{place} is not an object", where=where, found=repr(value)[:80], expected="a JSON object")
    needed = [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]
    if missing := [name for name in (*more, *needed) if name not in value]:
        found = f"only {', '.join(sorted(value))}" if value else "nothing"
        raise UserError(f"{place} lacks {', '.join(missing)}", where=where, found=found)
    own = {f.name: value[f.name] for f in fields(cls) if f.name in value}
    if wrong := wrong_type(cls, own):
        what = f"{wrong[0]} in {place} has a wrong type"
        raise UserError(what, where=where, found=repr(own[wrong[0]])[:60], expected=wrong[1])
    return own


def wrong_type(cls: type, values: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return (the first field whose value is not of its type, its type in words), or None."""
    hints = _hints(cls)
    return next(((name, in_words(hints[name])) for name, value in values.items() if not fits(value, hints[name])), None)


def fits(value: Any, hint: Any) -> bool:
    """Return whether a value of JSON is of a type. Dataclasses are objects, and items of lists that are dataclasses are
    left to who reads them. Within lists and objects a number may be null, which JSON has for NaN."""
    origin, parts = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(fits(value, part) for part in parts)
    if origin is Literal:
        return value in parts
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if is_dataclass(hint) or _is_a(origin or hint, Mapping):
        return isinstance(value, Mapping) and all(_within(item, parts[-1:]) for item in value.values())
    if hint is not str and _is_a(origin or hint, Sequence):
        return isinstance(value, list | tuple) and all(_within(item, parts[:1]) for item in value)
    return value is None if hint is type(None) else isinstance(value, hint)


def in_words(hint: Any) -> str:
    """Return a type as a message names it."""
    parts = get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(in_words(part) for part in parts if part is not type(None)))
    if is_dataclass(hint) or _is_a(get_origin(hint) or hint, Mapping):
        return "an object"
    return NAMES.get(hint) or ("a list" if _is_a(get_origin(hint) or hint, Sequence) else str(hint))


def _within(value: Any, hints: Sequence[Any]) -> bool:
    return all(
        fits(value, hint) or (hint is float and value is None) or any(map(is_dataclass, (hint, *get_args(hint))))
        for hint in hints
    )


def _is_a(hint: Any, kind: type) -> bool:
    return isinstance(hint, type) and issubclass(hint, kind)


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)
