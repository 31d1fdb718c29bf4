"""The one error that a user's mistake raises, and what helps to word it: the name that was probably meant, a number."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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
        super().__init__(f"{message}. {fix}" if fix else message)


class UserTypeError(UserError, TypeError):
    """A `UserError` about a value of the wrong type; Python code may catch it as the `TypeError` that it is."""


def counted(number: int, what: str) -> str:
    """`1 task`, `2 tasks`."""
    return f"{number} {what}{'s' * (number != 1)}"


def nearest(name: str, names: Iterable[str]) -> str:
    """The ending of an error about an unknown name: the nearest known names, or all of them when few."""
    known = sorted(names)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    return f"Known: {shown}."
