"""A tokenizer's chat template, cut once into the pieces that stand around the contents of a conversation.

    head instruction head_end | input gap | lead answer end | turn | input gap | ... | turn | input ask | lead answer

A demonstration is a user's turn and the assistant's; the query is a user's turn and an opened one. So the part that
prompts share stays a shared prefix of text. The cut is found with contents that
occur nowhere else, and the pieces are put together again for none, one and two demonstrations and compared with what
the template gives; a template that treats turns differently, drops or changes contents is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from task_suites.core.errors import UserError

# Characters that an escaping template would change, and white space that a normalising one would. No white space at
# the ends: contents are stripped, as most templates do themselves.
_MARK = "Marked {}  <&>\"'\n{{of}} chat"


class ChatTemplate(Protocol):
    """What renders a conversation: `apply_chat_template` of a transformers tokenizer, or anything called like it."""

    def __call__(self, conversation: Any, *, tokenize: bool, add_generation_prompt: bool) -> Any:
        """Return the text of messages `{"role": "system" | "user" | "assistant", "content": text}`."""


@dataclass(frozen=True)
class ChatPieces:
    """The constant text of a conversation (module docstring): `lead` is the blank that some write before an answer,
    `end` closes an answer, `turn` opens the next input."""

    head: str
    head_end: str
    gap: str
    lead: str
    end: str
    turn: str
    ask: str

    def opening(self, instruction: str) -> str:
        """Return what stands before the first input."""
        return f"{self.head}{instruction}{self.head_end}"


def cut_chat(render: ChatTemplate, instruction: bool, separator: str = "\n\n") -> ChatPieces:
    """Return the pieces of a template; with `instruction`, head and head_end are what stands around the instruction.

    The instruction is the system's message; where the template takes none before the first input, it begins the first
    input and is followed by `separator`.

    Raises:
        UserError: the tokenizer has no template, or it cannot be cut.
    """
    if getattr(getattr(render, "__self__", None), "chat_template", "") is None:
        fix = "Set format.chat to false, or use a model that has one."
        raise UserError("the tokenizer has no chat template", fix=fix)
    if not instruction:
        return _cut(render, system=False)
    try:
        return _cut(render, system=True)
    except _Uncut:
        plain = _cut(render, system=False)
        return replace(plain, head_end=separator)


class _Uncut(UserError):
    """The template cannot be cut."""


def _cut(render: ChatTemplate, system: bool) -> ChatPieces:
    opening = ["system"] if system else []
    roles = [*opening, "user", "assistant", "user", "assistant", "user", "assistant"]
    marks = [_MARK.format(i) for i in range(len(roles))]

    def text(count: int, ask: bool) -> str:
        messages = [{"role": r, "content": m} for r, m in zip(roles[:count], marks[:count], strict=True)]
        try:
            found = render(messages, tokenize=False, add_generation_prompt=ask)
        except Exception as error:  # a template raises what it likes
            raise _refusal(f"it says: {' '.join(str(error).split())[:200]}") from None
        if not isinstance(found, str):
            raise _refusal(f"it gives a {type(found).__name__}")
        return found

    first = len(opening)  # where the first input begins
    asked = _between(text(first + 5, True), marks[: first + 5])
    head, head_end = (asked[0], asked[1]) if system else (asked[0], "")
    gap, after, gap_2, after_2, ask = asked[first + 1 :]
    tail = _between(text(first + 6, False), marks)[-1]
    end, turn = (tail, after.removeprefix(tail)) if after.startswith(tail) else ("", after)
    if (gap, after) != (gap_2, after_2):
        raise _refusal("its turns are not alike")
    lead = gap.removeprefix(ask) if gap.startswith(ask) else ""
    lead = "" if lead.strip() else lead
    pieces = ChatPieces(head, head_end, gap.removesuffix(lead), lead, end, turn, ask)
    for shown in (0, 1, 2):
        if text(first + 2 * shown + 1, True) != _together(pieces, marks, first, shown):
            raise _refusal(f"{shown} demonstrations are not the pieces of two")
    return pieces


def _together(pieces: ChatPieces, marks: Sequence[str], first: int, shown: int) -> str:
    text = pieces.opening(marks[0] if first else "")
    for i in range(first, first + 2 * shown, 2):
        text += f"{marks[i]}{pieces.gap}{pieces.lead}{marks[i + 1]}{pieces.end}{pieces.turn}"
    return f"{text}{marks[first + 2 * shown]}{pieces.ask}"


def _between(text: str, marks: Sequence[str]) -> list[str]:
    """Return what stands before, between and after the marks."""
    pieces, rest = [], text
    for mark in marks:
        if text.count(mark) != 1:
            raise _refusal("a message is left out, repeated or changed")
        before, found, rest = rest.partition(mark)
        if not found:
            raise _refusal("messages are put in another order")
        pieces.append(before)
    return [*pieces, rest]


def _refusal(reason: str) -> _Uncut:
    return _Uncut(
        "the tokenizer's chat template cannot be cut into demonstrations and a query",
        found=reason,
        expected="messages in their order and unchanged, each turn written like the others",
        fix="Set format.chat to false, or give the tokenizer another chat template.",
    )
