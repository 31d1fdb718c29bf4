"""Tagged sentences as text and back: a way of writing spans is a pair of functions (`TAGGING`).

spans     Ann Lee = PER; Rome = LOC                  short; which of several equal words is meant is not said
inline    [Ann Lee | PER] left [Rome | LOC]          the whole sentence again; comes back exactly
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher

STOP = "\n"
NO_SPAN = "none"
_ESCAPED = re.compile(r"[\\\[\]|]")  # what marks a span; a backslash before it makes it an ordinary character
_INSIDE = r"((?:\\.|[^\\\[\]|])*)"
_MARKED = re.compile(rf"\[{_INSIDE}\|{_INSIDE}\]")


def spans(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """Return (type, start, end) of each BIO span, end exclusive; an I- that continues nothing opens a span (CoNLL's
    rule)."""
    found: list[tuple[str, int, int]] = []
    for i, tag in enumerate(tags):
        if tag == "O":
            continue
        prefix, kind = tag.split("-", 1)
        if prefix == "I" and found and found[-1][0] == kind and found[-1][2] == i:
            found[-1] = (kind, found[-1][1], i + 1)
        else:
            found.append((kind, i, i + 1))
    return found


def list_spans(tokens: Sequence[str], tags: Sequence[str]) -> str:
    """Return the spans one after another, `words = type; words = type`, or `none`."""
    return "; ".join(f"{' '.join(tokens[a:b])} = {kind}" for kind, a, b in spans(tags)) or NO_SPAN


def parse_tags(text: str, tokens: Sequence[str]) -> tuple[str, ...]:
    """BIO tags from generated text `words = type; ...`.

    Each item is looked for in the sentence from left to right, at the first position that no earlier item took; an item
    that is not a run of the sentence's words is left out. So a span whose words also stand further left, untagged, is
    put there, and a span that holds a semicolon is lost.
    """
    tags = ["O"] * len(tokens)
    for item in text.split(STOP)[0].split(";"):
        words, equals, kind = (part.strip() for part in item.rpartition("="))
        wanted = words.split()
        if not (equals and wanted and kind):
            continue
        n = len(wanted)
        for start in range(len(tokens) - n + 1):
            free = all(tag == "O" for tag in tags[start : start + n])
            if free and list(tokens[start : start + n]) == wanted:
                _mark(tags, kind, start, start + n)
                break
    return tuple(tags)


def mark_inline(tokens: Sequence[str], tags: Sequence[str]) -> str:
    """Return the sentence with each span marked, `[words | type]`; brackets, bars and backslashes of its own are
    escaped."""
    words = [_escape(token) for token in tokens]
    for kind, a, b in spans(tags):
        words[a] = f"[{words[a]}"
        words[b - 1] = f"{words[b - 1]} | {_escape(kind)}]"
    return " ".join(words)


def parse_inline(text: str, tokens: Sequence[str]) -> tuple[str, ...]:
    """BIO tags from a generated sentence with marked spans.

    Words that were left out, added or changed are bridged by aligning what was generated with the sentence (difflib); a
    span counts where all of its words stand side by side in the sentence.
    """
    line = text.split(STOP)[0]
    words: list[str] = []
    marked: list[tuple[str, int, int]] = []
    end = 0
    for match in _MARKED.finditer(line):
        words += _words(line[end : match.start()])
        inside, kind = _words(match[1]), " ".join(_words(match[2]))
        if inside and kind:
            marked.append((kind, len(words), len(words) + len(inside)))
        words += inside
        end = match.end()
    words += _words(line[end:])
    place: dict[int, int] = {}
    for a, b, size in SequenceMatcher(None, words, list(tokens), autojunk=False).get_matching_blocks():
        place.update({a + i: b + i for i in range(size)})
    tags = ["O"] * len(tokens)
    for kind, a, b in marked:
        at = [place.get(i, -1) for i in range(a, b)]
        if at[0] >= 0 and at == list(range(at[0], at[0] + len(at))):
            _mark(tags, kind, at[0], at[-1] + 1)
    return tuple(tags)


def rename(tags: Sequence[str], words: Mapping[str, str]) -> tuple[str, ...]:
    """Return the tags with other words for their types; types without one stay."""
    return tuple(tag if tag == "O" else f"{tag[:2]}{words.get(tag[2:], tag[2:])}" for tag in tags)


def _mark(tags: list[str], kind: str, start: int, end: int) -> None:
    tags[start:end] = [f"B-{kind}"] + [f"I-{kind}"] * (end - start - 1)


def _escape(text: str) -> str:
    return _ESCAPED.sub(lambda match: "\\" + match[0], text)


def _words(text: str) -> list[str]:
    return [re.sub(r"\\(.)", r"\1", word) for word in text.split()]


Write = Callable[[Sequence[str], Sequence[str]], str]  # tokens, tags -> text
Read = Callable[[str, Sequence[str]], tuple[str, ...]]  # text, tokens -> tags
TAGGING: dict[str, tuple[Write, Read]] = {"spans": (list_spans, parse_tags), "inline": (mark_inline, parse_inline)}
