"""The one error that a user's mistake raises, and what helps to word it: the name that was probably meant, a number."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

SHOWN = 20  # names that a message lists


class UserError(ValueError):
    """A mistake in data, configuration or environment that the user can mend.

    The message holds what was wrong, where (file and line where there is one), what was found, what was expected and
    the way out. The command line prints it without a traceback.
    """

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        found: object = None,
        expected: object = None,
        fix: str | None = None,
    ):
        parts = [f"{where}: {what}" if where is not None else what]
        if found is not None:
            parts.append(f"found {found}")
        if expected is not None:
            parts.append(f"expected {expected}")
        message = "; ".join(parts)
        end = "" if message.endswith((".", "?", "!")) else "."
        super().__init__(f"{message}{end} {fix}" if fix else message)


class UserTypeError(UserError, TypeError):
    """A `UserError` about a value of the wrong type; Python code may catch it as the `TypeError` that it is."""


def refuse_half_characters(text: str, where: str) -> None:
    """Raise where a text holds half of a surrogate pair, which no file can hold: bytes that were not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        found = f"half of a surrogate pair in {text[:60]!r}"
        raise UserError(f"{where} is not Unicode text", found=found, expected="whole characters, as UTF-8") from None


def reason_of(error: Exception) -> str:
    """Return what an exception says; a `KeyError` says no more than the name of the key that is missing."""
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def counted(number: int, what: str) -> str:
    """Return `1 task`, `2 tasks`, `2 queries`."""
    if number == 1:
        return f"{number} {what}"
    return f"{number} {what[:-1]}ies" if what.endswith("ry") else f"{number} {what}s"


def nearest(name: str, names: Iterable[str]) -> str:
    """Return the ending of an error about an unknown name: the names that were probably meant, or the known ones.

    The nearest come first; at most `SHOWN` are listed, and how many more there are.
    """
    known = sorted(names)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    if len(known) > SHOWN:
        known.sort(key=lambda other: _distance(name, other))
        return f"Known, nearest first: {', '.join(known[:SHOWN])} and {len(known) - SHOWN} more."
    begin = [other for other in known if name and other.startswith(name)]
    return f"Known: {', '.join([*begin, *(other for other in known if other not in begin)])}."


def _distance(name: str, other: str) -> tuple[bool, bool, float]:
    """Orders names by how near they are to one that was typed: they begin with it, hold it, resemble it."""
    resemblance = difflib.SequenceMatcher(None, name, other).ratio()
    return not other.startswith(name), name not in other, -resemblance
