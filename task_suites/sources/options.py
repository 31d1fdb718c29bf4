"""Options of a source in its name: `metaicl:FOLDER?setting=hr_to_lr&seed=13`."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from urllib.parse import unquote

from task_suites.core.errors import UserError, nearest


def split_options(rest: str, known: Mapping[str, str]) -> tuple[Path, dict[str, str]]:
    """Return (the path, every known option with its value) of ``PATH?name=value&name=value``.

    A path that exists is taken whole, so that a literal ``?`` in it does no harm; else the last ``?`` parts path and
    options. ``%26`` in a value stands for ``&`` and so on.

    Args:
        rest: what follows the scheme and its colon.
        known: the source's options and their defaults.

    Raises:
        UserError: no path, an option that is not known, given twice, or without ``=``.
    """
    path, mark, query = (rest, "", "") if os.path.exists(rest) else _parted(rest)
    if not path:
        raise UserError("no folder or file is named", found=repr(rest), expected="PATH or PATH?option=value")
    return Path(path), parse_options(query, known, path) if mark else dict(known)


def parse_options(query: str, known: Mapping[str, str], where: object) -> dict[str, str]:
    """Return every known option with its value, by ``name=value&name=value``.

    Raises:
        UserError: an option that is not known, given twice, or without ``=``.
    """
    given: dict[str, str] = {}
    for item in query.split("&"):
        name, equals, value = item.partition("=")
        if not equals:
            raise UserError(f"not an option: {item!r}", where=where, expected="name=value, several joined by &")
        if name not in known:
            raise UserError(f"unknown option {name!r}", where=where, fix=nearest(name, known))
        if name in given:
            raise UserError(f"option {name} is given twice", where=where, fix="Give it once.")
        given[name] = unquote(value)
    return {**known, **given}


def one_of(options: Mapping[str, str], name: str, values: Collection[str]) -> str:
    """Return the value of an option that has a fixed list of them.

    Raises:
        UserError: another value.
    """
    value = options[name]
    if value not in values:
        raise UserError(f"option {name}: unknown value {value!r}", fix=nearest(value, values))
    return value


def number(options: Mapping[str, str], name: str) -> int:
    """Return the value of an option that is a whole number of at least 0, in digits.

    Raises:
        UserError: anything else.
    """
    value = options[name]
    if not (value.isascii() and value.isdigit() and len(value) < 10):
        raise UserError(f"option {name} has a wrong value", found=repr(value), expected="a whole number")
    return int(value)


def _parted(rest: str) -> tuple[str, str, str]:
    path, mark, query = rest.rpartition("?")
    return (path, mark, query) if mark else (rest, "", "")
