"""English surface rules: a/an, capitals, blanks, tokens, and the marks around spans.

A filled template is plain text with two kinds of marks. ``[E1] ... [/E1]`` (also E2 and T) stay in the text that a
model reads. ``<TYPE:...>`` marks a span to tag or to extract and is taken out again by `tagged` or `captured`.
"""

from __future__ import annotations

import re

_ARTICLE = re.compile(r"\b([Aa])n? ((?:\[[A-Z]\d?\] |<[A-Z]+:)*)(?=([A-Za-z0-9][\w-]*))")
_SENTENCE = re.compile(r"(^|[.?!] |\.\" |[?!]\" (?=\")|: (?=\"))((?:\[[A-Z]\d?\] |<[A-Z]+:|\")*)([a-z])")
_BLANKS = re.compile(r"\s+([,.;:?!])|(\s)\s+")
_DOUBLE_STOP = re.compile(r"([?!])[.,;]")
_TOKEN = re.compile(r"\w+(?:[-'’:.]\w+)*|[^\w\s]")
_SPAN = re.compile(r"<([A-Z]+):([^<>]*)>")
_CONSONANT_SOUND = re.compile(r"(?:uni(?!n|m)|us[eua]|ut[ei]|eu|ewe|one\b|one-|once|ukul|u-)", re.IGNORECASE)
_VOWEL_SOUND = re.compile(r"(?:[aeiou]|hour|honest|honou?r|heir|x-ray|8|11\b|18\b)", re.IGNORECASE)


def article(word: str) -> str:
    """Return the indefinite article that stands before `word`: "a" or "an"."""
    return "an" if _VOWEL_SOUND.match(word) and not _CONSONANT_SOUND.match(word) else "a"


def with_articles(text: str) -> str:
    """Return `text` with every "a" and "an" set to suit the word that follows, marks in between ignored."""

    def fix(match: re.Match[str]) -> str:
        chosen = article(match[3])
        return (chosen.capitalize() if match[1] == "A" else chosen) + " " + match[2]

    return _ARTICLE.sub(fix, text)


def capitalised(text: str) -> str:
    """Return `text` with a capital letter at the start of each sentence and of each quotation after a colon."""
    return _SENTENCE.sub(lambda m: m[1] + m[2] + m[3].upper(), text)


def finished(text: str) -> str:
    """Return a filled template as a sound line: single blanks, none before punctuation, articles and capitals set."""
    text = _DOUBLE_STOP.sub(r"\1", _BLANKS.sub(lambda m: m[1] or m[2], text.strip()))
    return capitalised(with_articles(text))


def tokens_of(text: str) -> list[str]:
    """Return `text` as words and punctuation marks; a hyphen, apostrophe, colon or point inside a word stays in it."""
    return _TOKEN.findall(text)


def tagged(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return (tokens, BIO tags) of a text whose spans are marked ``<TYPE:...>``."""
    tokens: list[str] = []
    tags: list[str] = []
    end = 0
    for match in _SPAN.finditer(text):
        for part, kind in ((text[end : match.start()], ""), (match[2], match[1])):
            words = tokens_of(part)
            tokens += words
            tags += [("B-" if i == 0 else "I-") + kind if kind else "O" for i in range(len(words))]
        end = match.end()
    rest = tokens_of(text[end:])
    return (*tokens, *rest), (*tags, *("O" for _ in rest))


def captured(text: str) -> tuple[str, str]:
    """Return (text without marks, content of its first ``<TYPE:...>`` mark as it reads inside a sentence).

    Raises:
        ValueError: the text has no such mark.
    """
    match = _SPAN.search(text)
    if match is None:
        raise ValueError(f"no <TYPE:...> mark in {text!r}")
    return _SPAN.sub(r"\2", text), match[2]
