"""How options are shown: a function of their words that gives (what is added to the question, the answer to each)."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from itertools import chain, count, islice, product


def as_text(words: Sequence[str]) -> tuple[str, list[str]]:
    """Do not show the options; the answer is an option's text."""
    return "", list(words)


def listed(words: Sequence[str]) -> tuple[str, list[str]]:
    """Show each option on a line; the answer is an option's text."""
    return "".join(f"\n- {word}" for word in words), list(words)


def letters(words: Sequence[str]) -> tuple[str, list[str]]:
    """Show each option on a line after a letter, which is the answer: A to Z, then AA, AB and so on."""
    names = letter_names(len(words))
    return "".join(f"\n{name}. {word}" for name, word in zip(names, words, strict=True)), names


def letter_names(number: int) -> list[str]:
    """Return the names of this many options, as the columns of a spreadsheet are named: A, ..., Z, AA, AB, ..."""
    names = (map("".join, product(string.ascii_uppercase, repeat=size)) for size in count(1))
    return list(islice(chain.from_iterable(names), number))


CHOICES: dict[str, Callable[[Sequence[str]], tuple[str, list[str]]]] = {
    "text": as_text,
    "listed": listed,
    "letters": letters,
}
