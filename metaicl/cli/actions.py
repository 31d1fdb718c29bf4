"""Commands with actions, such as `metaicl runs list`: one answer to an action that a command lacks."""

from __future__ import annotations

from collections.abc import Iterable

from task_suites.core.errors import UserError, nearest


def check_action(action: str, known: Iterable[str]) -> None:
    """Raise where a command has no such action.

    Raises:
        UserError: names the action that was probably meant.
    """
    names = list(known)
    if action not in names:
        raise UserError(f"unknown action {action!r}", fix=nearest(action, names))
