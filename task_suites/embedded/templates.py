"""Templates and lexicons: text with slots, and what fills them.

A template is text with slots: ``{name}`` takes a phrase from the lexicon, ``{this|that}`` one of the alternatives;
both nest, and a phrase may hold slots of its own. A lexicon entry is a tuple of phrases, or a mapping from classes to
phrases: then the class is drawn first, and a task may ask for it.

    lexicon = {"who": ("a baker",), "mood": {"glad": ("smiles",), "sad": ("weeps", "sighs {deeply|softly}")}}
    "{who} {mood}."  with mood = sad  ->  "a baker sighs softly."
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

Phrases = tuple[str, ...]
Lexicon = Mapping[str, "Phrases | Mapping[str, Phrases]"]
_BRACE_OR_BAR = re.compile(r"[{}|]")
_INNERMOST = re.compile(r"\{([^{}]*)\}")


def phrases(text: str) -> Phrases:
    """Return the phrases of a block of text: one a line, or several on a line, separated by `` / ``."""
    return tuple(part.strip() for line in text.splitlines() for part in line.split(" / ") if part.strip())


@dataclass(frozen=True)
class Slot:
    """A gap in a template: the name of a lexicon entry, or alternatives that the template itself lists."""

    name: str = ""
    choices: tuple[tuple[str | Slot, ...], ...] = ()


@cache
def parse(template: str) -> tuple[str | Slot, ...]:
    """Return a template as plain strings and slots.

    Raises:
        ValueError: braces that do not match.
    """
    parts: list[str | Slot] = []
    depth, start = 0, 0
    bars: list[int] = []  # where the alternatives of the open slot end
    for match in _BRACE_OR_BAR.finditer(template):
        at, char = match.start(), match[0]
        if char == "{":
            if depth == 0:
                parts.append(template[start:at])
                bars = [at]
            depth += 1
        elif char == "|":
            if depth == 1:
                bars.append(at)
        else:
            depth -= 1
            if depth == 0:
                inner = [template[a + 1 : b] for a, b in pairwise([*bars, at])]
                parts.append(Slot(choices=tuple(map(parse, inner))) if len(inner) > 1 else Slot(name=inner[0]))
                start = at + 1
        if depth < 0:
            break
    if depth != 0:
        raise ValueError(f"braces do not match in template {template!r}")
    parts.append(template[start:])
    return tuple(part for part in parts if part)


def slots_of(text: str) -> set[str]:
    """Return the names of the lexicon entries that templates take phrases from, also within alternatives.

    Raises:
        ValueError: braces that do not match.
    """
    names: set[str] = set()
    while inner := _INNERMOST.findall(text):
        names.update(name for name in inner if "|" not in name)
        text = _INNERMOST.sub("\0", text)
    if "{" in text or "}" in text:
        raise ValueError(f"braces do not match in template {text!r}")
    return names


class Filler:
    """Fills templates for one example; no phrase of an entry is used twice while others are left."""

    def __init__(self, rng: random.Random, lexicon: Lexicon, classes: Mapping[str, str] | None = None):
        self.rng, self.lexicon, self.classes = rng, lexicon, dict(classes or {})
        self.used: set[tuple[str, str]] = set()

    def fill(self, template: str) -> str:
        """Return the template with every slot filled, not yet `finished`."""
        return self._fill(parse(template))

    def _fill(self, parts: tuple[str | Slot, ...]) -> str:
        return "".join(
            part
            if isinstance(part, str)
            else self._fill(self.rng.choice(part.choices))
            if part.choices
            else self.fill(self._phrase(part.name))
            for part in parts
        )

    def _phrase(self, name: str) -> str:
        entry = self.lexicon[name]
        if isinstance(entry, Mapping):
            entry = entry[self.classes.setdefault(name, self.rng.choice(tuple(entry)))]
        for _ in range(8):
            phrase = self.rng.choice(entry)
            if (name, phrase) not in self.used:
                break
        self.used.add((name, phrase))
        return phrase
