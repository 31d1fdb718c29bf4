"""Texts as tokens: what the tokenizer makes of a whole text, also where many texts begin alike.

A model is trained on texts that were encoded at once. Pieces that are encoded one by one and put together can give
other tokens: a blank line before a word is one token by itself and two in the text, and tokenizers that put a blank
before every text (Llama 2, Mistral) do so at each piece. So the ids of a prompt are always those of its whole text, and
the tokens of an answer are those that reach beyond the text before it. Trailing blanks of that text belong to the
answer, as in lm-evaluation-harness.

To encode a long beginning once for many endings, it is cut at a *hard boundary*: after a character that is not a blank
and before one that is, where the text's own tokens part, and such that no token of the vocabulary, and none that was
added to it, holds the two symbols that meet there. No merge, word piece or unigram piece can cross such a boundary. So
the tokens left of it are the same whatever follows, and those right of it are the same whatever stands before. Only the
rest is encoded with each ending:

    The soup was cold.\\nAnswer: bad|\\n\\n  +  The waiter smiled.\\nAnswer: good
    stable, encoded once ----------->|   encoded with each ending, after an anchor of one character ("d")

The anchor takes up what a tokenizer does to the start of a text. Where no boundary is found, the tokenizer reports no
offsets, or it replaces words before it encodes (a pattern that may reach over a boundary), nothing is stable and every
whole text is encoded: slower, the same tokens.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain, pairwise
from typing import Any

from task_suites.core.errors import UserError

OTHER_WORDS = "Write it in other words, or use another model."
ENCODING = "whole texts"  # the rule above by name: what was measured under another one is not taken for its own
LONGEST_CACHED = 1000  # characters of a text whose tokens are kept: queries and answers, not whole prompts
MOST_BYTES = 32 << 20  # of texts with their tokens that are kept


@dataclass(frozen=True)
class Encoded:
    """Tokens of a text.

    Attributes:
        ids: token ids.
        ends: for each token, the number of characters of the text up to its end; never falling.
    """

    ids: tuple[int, ...]
    ends: tuple[int, ...]

    def __add__(self, other: Encoded) -> Encoded:
        return Encoded(self.ids + other.ids, self.ends + other.ends)

    def __len__(self) -> int:
        return len(self.ids)

    def reaching_beyond(self, character: int) -> int:
        """Return the index of the first token that reaches beyond this many characters of the text."""
        return bisect_right(self.ends, character)


class _Recent:
    """Texts encoded lately, in about `most_bytes` of memory, for a service meets new ones without end.

    There are two halves. A text that is found in the older one, or is new, goes into the newer one; when that is full,
    it becomes the older one, which is dropped. Threads may share it: at worst they encode a text twice.
    """

    def __init__(self, encode: Callable[[str], Encoded], most_bytes: int):
        self._encode, self._half = encode, most_bytes // 2
        self._older: dict[str, Encoded] = {}
        self._newer: dict[str, Encoded] = {}
        self._bytes = 0

    def __call__(self, text: str) -> Encoded:
        found = self._newer.get(text)
        if found is None:
            found = self._older.get(text) or self._encode(text)
            self._newer[text] = found
            self._bytes += 300 + 4 * len(text) + 44 * len(found)  # a token is two pointers and an integer
            if self._bytes > self._half:
                self._older, self._newer, self._bytes = self._newer, {}, 0
        return found

    def __len__(self) -> int:
        return len(self._older.keys() | self._newer.keys())

    def clear(self) -> None:
        """Drop all texts."""
        self._older, self._newer, self._bytes = {}, {}, 0


class TextEncoder:
    """Encodes whole texts and beginnings of texts with one tokenizer (see the module's docstring).

    Args:
        tokenizer: a transformers tokenizer.
    """

    def __init__(self, tokenizer: Any):
        self.tokenizer = tokenizer
        self._encode_short = _Recent(self._encode, MOST_BYTES)
        self.beginning = lru_cache(maxsize=1 << 8)(self._beginning)

    def encode(self, text: str) -> Encoded:
        """Return the tokens of a text by itself, without the special tokens that the tokenizer puts around texts."""
        return self._encode_short(text) if len(text) <= LONGEST_CACHED else self._encode(text)

    def _encode(self, text: str) -> Encoded:
        found = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=self.tokenizer.is_fast)
        ids = tuple(found.input_ids)
        if self.tokenizer.is_fast:
            return Encoded(ids, _rising(end for _, end in found.offset_mapping))
        return Encoded(ids, tuple(self._ends_without_offsets(text, ids)))

    def _ends_without_offsets(self, text: str, ids: tuple[int, ...]) -> Iterator[int]:
        """Where each token ends: the shortest beginning of the text whose encoding begins with the tokens up to it."""
        count, ends = 0, []
        for end in range(len(text) + 1):
            part = self.tokenizer(text[:end], add_special_tokens=False).input_ids
            same = next(
                (i for i, (a, b) in enumerate(zip(part, ids, strict=False)) if a != b), min(len(part), len(ids))
            )
            ends += [end] * (same - count)
            count = max(count, same)
        return iter(ends)

    def forget(self) -> None:
        """Drop all cached encodings, so that encoding can be timed."""
        self._encode_short.clear()
        self.beginning.cache_clear()

    @cached_property
    def begin(self) -> tuple[int, ...]:
        """The special tokens that the tokenizer puts before every text; empty for many tokenizers."""
        bare, with_special = self._encode("a").ids, tuple(self.tokenizer("a").input_ids)
        starts = range(len(with_special) - len(bare) + 1)
        return with_special[: next((i for i in starts if with_special[i : i + len(bare)] == bare), 0)]

    def whole(self, text: str) -> Encoded:
        """Return the tokens of a whole prompt: the begin token is there once, also where the text (of a chat template)
        already begins with it."""
        found = self.encode(text)
        if self.begin and found.ids[: len(self.begin)] == self.begin:
            return found
        return Encoded(self.begin, (0,) * len(self.begin)) + found

    def _beginning(self, text: str) -> Beginning:
        """Return a text that others begin with, cut at its last hard boundary."""
        return self.cut(text, Encoded((), ()), 0, self.whole(text))

    def cut(self, text: str, before: Encoded, start: int, rest: Encoded) -> Beginning:
        """Return the beginning `text`, whose stable tokens are `before` and those of `rest` up to its last hard
        boundary.

        Args:
            start: the character of the text at which `before` ends and `rest` begins.
        """
        for index in self._boundaries(text, rest, start):
            at = rest.ends[index - 1]
            again = self._after_anchor(text[at - 1 :], at - 1)
            if again.ids == rest.ids[index:]:
                stable = before + Encoded(rest.ids[:index], rest.ends[:index])
                return Beginning(self, text, stable, at)
        return Beginning(self, text, before, start)

    def _after_anchor(self, text: str, shift: int) -> Encoded:
        """Return the tokens of a text beyond its first character, their ends counted from `shift` characters before
        it."""
        found = self.encode(text)
        first = found.reaching_beyond(1)
        return Encoded(found.ids[first:], tuple(end + shift for end in found.ends[first:]))

    def _boundaries(self, text: str, encoded: Encoded, start: int) -> Iterator[int]:
        """Yield indices of tokens of `encoded` before which there is a hard boundary, from the last; at most four."""
        found = 0
        if not self._normalises_in_place:
            return
        for index in range(len(encoded) - 1, 0, -1):
            at = encoded.ends[index - 1]
            parted = start < at < len(text) and encoded.ends[index] > at
            around = text[max(0, at - 1) : at + 1]
            blank_follows = parted and around[1].isspace() and not around[0].isspace()
            if blank_follows and around.casefold() not in self._inside_added and self._is_hard(encoded.ids, index):
                yield index
                found += 1
                if found == 4:
                    return

    def _is_hard(self, ids: tuple[int, ...], index: int) -> bool:
        """Return whether no token of the vocabulary holds the symbols that meet between two neighbouring tokens."""
        if not self._special.isdisjoint(ids[index - 1 : index + 1]):
            return False
        left, right = self.tokenizer.convert_ids_to_tokens(list(ids[index - 1 : index + 1]))
        return left[-1] + right[0] not in self._neighbours

    @cached_property
    def _normalises_in_place(self) -> bool:
        """Whether what is done to a text before it is encoded never depends on both sides of a boundary."""
        if not self.tokenizer.is_fast:
            return False
        normalizer = self.tokenizer.backend_tokenizer.normalizer
        return normalizer is None or _in_place(json.loads(normalizer.__getstate__()))

    @cached_property
    def _special(self) -> frozenset[int]:
        """Tokens that are not spelled by symbols of the text: special ones, added ones, bytes."""
        vocabulary = self.tokenizer.get_vocab().items()
        return frozenset(self.tokenizer.added_tokens_decoder) | {i for t, i in vocabulary if t.startswith("<0x")}

    @cached_property
    def _inside_added(self) -> frozenset[str]:
        """All pairs of characters inside added tokens. These are looked for in the text as it is, so that one may begin
        in a text and end in what follows."""
        added = (token.content.casefold() for token in self.tokenizer.added_tokens_decoder.values())
        return frozenset(a + b for token in added for a, b in pairwise(token))

    @cached_property
    def _neighbours(self) -> frozenset[str]:
        """All pairs of symbols that stand side by side in some token of the vocabulary."""
        pairs = chain.from_iterable(pairwise(token) for token in self.tokenizer.get_vocab())
        return frozenset(a + b for a, b in set(pairs))


class Beginning:
    """A text that others begin with.

    Args:
        stable: its tokens that are the same whatever follows.
        at: the number of characters that these cover.

    Attributes:
        text: the text.
    """

    def __init__(self, encoder: TextEncoder, text: str, stable: Encoded, at: int):
        self.encoder, self.text, self.stable, self._at = encoder, text, stable, at

    def __add__(self, more: str) -> Beginning:
        """Return the beginning continued by more text."""
        if not more:
            return self
        return self.encoder.cut(self.text + more, self.stable, self._at, self.rest(more))

    def rest(self, more: str = "") -> Encoded:
        """Return the tokens after the stable ones, of the whole text continued by `more`."""
        if not self.stable:
            return self.encoder.whole(self.text + more)
        return self.encoder._after_anchor(self.text[self._at - 1 :] + more, self._at - 1)

    def whole(self, more: str = "") -> Encoded:
        """Return all tokens of the text continued by `more`."""
        return self.stable + self.rest(more)


IN_PLACE = (
    *("BertNormalizer", "ByteLevel", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled", "Prepend"),
    *("Strip", "StripAccents"),
)
OF_BLANKS = re.compile(r"(?:\s|\\s|\[\s+\])(?:[+*?]|\{\d+,?\d*\})?")  # a pattern of one blank, or of several in a row


def _in_place(normalizer: Mapping[str, Any]) -> bool:
    """Return whether a normaliser of `tokenizers` changes what is left of a blank whatever follows, and the other way
    round.

    One that replaces a pattern does, where no match holds a character and a blank after it: these are patterns of
    blanks, of one character, and of a text without such a position. A pattern of another kind, or an unknown
    normaliser, does not.
    """
    if normalizer["type"] == "Sequence":
        return all(map(_in_place, normalizer["normalizers"]))
    if normalizer["type"] != "Replace":
        return normalizer["type"] in IN_PLACE
    (kind, pattern), *_ = normalizer["pattern"].items()
    if kind == "Regex":
        return bool(OF_BLANKS.fullmatch(pattern))
    return not any(b.isspace() and not a.isspace() for a, b in pairwise(pattern))


def _rising(ends: Iterator[int]) -> tuple[int, ...]:
    """Ends as they are reported, none before one that came earlier (a token of no width can report 0)."""
    found, most = [], 0
    for end in ends:
        most = max(most, end)
        found.append(most)
    return tuple(found)


def no_tokens(what: str, text: str) -> UserError:
    """Return the error that the tokenizer leaves nothing of a text, which then has neither a score nor a vector."""
    return UserError(f"the model's tokenizer has no token for {what}", found=ascii(text[:60]), fix=OTHER_WORDS)


def same_tokens(texts: Sequence[str]) -> UserError:
    """Return the error that the tokenizer makes the same tokens of two options, whose scores are then equal."""
    found = " and ".join(ascii(text[:60]) for text in texts)
    return UserError(
        "two options are the same tokens to the model, which cannot choose between them", found=found, fix=OTHER_WORDS
    )
