"""The one check that a sequence fits into a model's context, for every method and every way of running the model.

A model with learned positions has none beyond its context (an `IndexError` deep inside); one with rotary positions
runs on, untrained, without a word. So the backbone checks each sequence that it is given, and methods check before that
with the name of the task and the text.
"""

from __future__ import annotations

from task_suites.core.errors import UserError

FEWER = "Use fewer or shorter demonstrations, or a model with a longer context."
SHORTER = "Shorten it, leave it out, or use a model with a longer context."


class TooLong(UserError):
    """A sequence does not fit into the model's context."""


def too_long(length: int, context: int, what: str, fix: str) -> TooLong:
    """Return the error that a sequence of this many tokens does not fit; `what` names it, `fix` is the way out."""
    return TooLong(
        f"{what} does not fit the model's context", found=f"{length} tokens", expected=f"at most {context}", fix=fix
    )


def check_length(length: int, context: int, what: str = "a sequence", fix: str = SHORTER) -> None:
    """Raise `TooLong` where a sequence has more tokens than the model's context takes.

    Args:
        length: tokens of the sequence.
        context: tokens that the model takes.
        what: names the sequence.
        fix: the way out.
    """
    if length > context:
        raise too_long(length, context, what, fix)


def quoted(text: str, width: int = 60) -> str:
    """Return the beginning of a text, in quotes, to name it in an error."""
    return repr(text if len(text) <= width else text[:width] + "...")
