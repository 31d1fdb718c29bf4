"""Near duplicates, permuted options and contained inputs in a corpus of texts, in time that grows nearly linearly.

Candidates come from MinHash (Broder 1997) with banding (locality-sensitive hashing, Indyk & Motwani 1998) over a text's
informative words: words and, where a text has few of them, runs of three words that few texts hold. What thousands of
texts of one template share ("... was created in the country of") makes no candidate, so templates cost no quadratic
time. Each candidate is then verified by two exact similarities:

    words   the words in which they differ (the longer one's number less the longest common subsequence): at most one
            in ten
    weight  the words that both hold, each weighed by log(1 + N / df) within its task, over the weight of all words

The first says that one word in ten changed, the second that what stayed is more than the task's template; a text of
fewer than ten words may differ in one word, if that is one that its task's template repeats. The thresholds and the
banding were chosen on planted duplicates (benchmarks/audit.py).
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import LCSseq

CHANGED = 10  # of this many words one may differ
WEIGHT_ALIKE = 0.65
SHORT, SHORT_WEIGHT = 10, 0.93  # of shorter texts nearly all the weight stays
MIN_WORDS = 4  # shorter texts are compared whole only
CONTAINED_WORDS = 8  # a shorter input inside another says nothing
BANDS, ROWS = 48, 4
FEW = 4  # informative words below which runs of three words take part
# a word that more texts hold is not informative: one in fifty, and of more than 100,000 texts a share that falls as
# the root of their number, so that candidates do not grow with its square
COMMON_SHARE, COMMON_LEAST, MANY = 0.02, 50, 100_000
BUCKET, NEIGHBOURS = 48, 24  # in a larger bucket each text meets this many neighbours, not all
CHUNK = 50_000  # texts whose signatures are held at once
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)
_UNSPACED = re.compile(r"([\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff])")  # scripts without blanks
_MARK = re.compile(r"^\s*(?:\(?[a-z0-9]{1,2}[).:]|[-*•])\s+", re.IGNORECASE)
_INLINE = re.compile(r"\s(?=\([A-Za-z0-9]\)\s)")
_AROUND = ".,;:!?\"'“”‘’`…()[]{}<>|-–—*"  # a changed full stop is not a changed word
_STOPS = frozenset(".,;:!?\"'“”‘’`…-–—``''")


def words_of(content: str) -> list[str]:
    """Return what stands between blanks, without the punctuation around it; each character of a script without
    blanks."""
    return [word.strip(_AROUND) or word for word in _UNSPACED.sub(r" \1 ", content).split() if word not in _STOPS]


def permutation_key(text: str, options: Sequence[str] | None) -> str | None:
    """Return what stays the same when the options that the input lists are reordered; None where the input lists none.

    `options` are the item's own (not the labels of the task). An input lists its options when it holds each of them,
    or when it has three lines (or parts that begin with a letter in brackets) or more.
    """
    folded = " ".join(text.casefold().split())
    if options:
        parts = sorted((" ".join(option.casefold().split()) for option in options), key=lambda p: (-len(p), p))
        rest = folded
        for part in parts:
            if part not in rest:
                break
            rest = rest.replace(part, "\0", 1)
        else:
            return "\1".join((rest, *sorted(parts)))
    lines = [_MARK.sub("", part).casefold().strip() for line in text.splitlines() for part in _INLINE.split(line)]
    lines = [" ".join(line.split()) for line in lines if line]
    return "\n".join(sorted(lines)) if len(lines) >= 3 else None


@dataclass
class Corpus:
    """Distinct texts as word numbers in one flat array; add them all, then ask.

    Attributes:
        groups: the number of each text's group (its task). How rare a word is counts within the group.
    """

    groups: array[int] = field(default_factory=lambda: array("i"))
    _ends: array[int] = field(default_factory=lambda: array("q", [0]))
    _sizes: array[int] = field(default_factory=lambda: array("i"))  # with the words that are punctuation
    _flat: array[int] = field(default_factory=lambda: array("i"))
    _numbers: dict[str, int] = field(default_factory=dict)

    def add(self, content: str, group: int) -> None:
        numbers, words = self._numbers, words_of(content)
        self._flat.extend([numbers.setdefault(word, len(numbers)) for word in words])
        self._sizes.append(max(len(words), content.count(" ") + 1))
        self._ends.append(len(self._flat))
        self.groups.append(group)

    def __len__(self) -> int:
        return len(self.groups)

    def similar(self) -> list[tuple[int, int, float]]:
        """Return (a, b, similarity) for near duplicates a < b: the share of the longer one's words that both have in
        order."""
        ends, flat = np.frombuffer(self._ends, np.int64), np.frombuffer(self._flat, np.int32)
        if len(self) < 2 or not len(flat):
            return []
        weights = _weights(ends, flat, np.frombuffer(self.groups, np.int32))
        totals = np.diff(np.concatenate([[0.0], np.cumsum(weights)])[ends])
        found = []
        sizes = np.frombuffer(self._sizes, np.int32)
        changes = np.maximum(1, sizes // CHANGED)
        for a, b in _candidates(self._hashes(), ends, flat, changes):
            rows = [flat[ends[i] : ends[i + 1]].tolist() for i in (a, b)]
            size = max(map(len, rows))
            short = max(sizes[a], sizes[b]) < SHORT
            least = size - int(changes[a] if sizes[a] > sizes[b] else changes[b])
            if (both := (Counter(rows[0]) & Counter(rows[1])).total()) < least:
                continue
            kept = _shared_weight(rows, [weights[ends[i] : ends[i + 1]].tolist() for i in (a, b)])
            if kept < (SHORT_WEIGHT if short else WEIGHT_ALIKE) * float(totals[a] + totals[b]):
                continue
            if (same := LCSseq.similarity(rows[0], rows[1])) >= (both if short else least):
                found.append((a, b, same / size))
        return found

    def contained(self, at_least: int = CONTAINED_WORDS) -> list[tuple[int, int]]:
        """Return (a, b) where the words of a, `at_least` of them, stand in a row within the longer b; one b for each
        a."""
        ends, flat = np.frombuffer(self._ends, np.int64), np.frombuffer(self._flat, np.int32)
        lengths = np.diff(ends)
        inner = np.flatnonzero(lengths >= at_least)
        if len(inner) < 2:
            return []
        sums, inverse = _prefix_sums(self._hashes()[flat])
        heads = _windows(sums, inverse, ends[inner], at_least)
        whole = _windows(sums, inverse, ends[inner], lengths[inner])
        known: dict[int, dict[int, dict[int, int]]] = {}  # head -> length -> hash -> text
        for text, head, value in zip(inner.tolist(), heads.tolist(), whole.tolist(), strict=True):
            known.setdefault(head, {}).setdefault(int(lengths[text]), {})[value] = text
        starts = np.concatenate([np.arange(ends[i], ends[i + 1] - at_least + 1) for i in inner])
        owners = np.repeat(inner, lengths[inner] - at_least + 1)
        values = _windows(sums, inverse, starts, at_least)
        hits = np.flatnonzero(np.isin(values, np.unique(heads)))
        found: dict[int, int] = {}
        for at, owner, head in zip(starts[hits].tolist(), owners[hits].tolist(), values[hits].tolist(), strict=True):
            for length, texts in known[head].items():
                if length >= lengths[owner] or at + length > ends[owner + 1]:
                    continue
                window = ((int(sums[at + length]) - int(sums[at])) * int(inverse[at])) & (2**64 - 1)
                inside = texts.get(window)
                if inside is None or inside in found:
                    continue
                if np.array_equal(flat[ends[inside] : ends[inside + 1]], flat[at : at + length]):
                    found[inside] = owner
        return sorted(found.items())

    def _hashes(self) -> NDArray[np.uint64]:
        """Return a 64-bit hash of each word, the same whatever was added before it."""
        digests = (
            hashlib.blake2b(word.encode(errors="surrogatepass"), digest_size=8).digest() for word in self._numbers
        )
        return np.frombuffer(b"".join(digests), np.uint64)


def _shared_weight(rows: Sequence[Sequence[int]], weights: Sequence[Sequence[float]]) -> float:
    """Return the weight on both sides of the words that both texts hold, as often as both hold them."""
    total = 0.0
    for row, mine, other in ((rows[0], weights[0], rows[1]), (rows[1], weights[1], rows[0])):
        left = Counter(other)
        for word, value in zip(row, mine, strict=True):
            if left[word] > 0:
                left[word] -= 1
                total += value
    return total


def _weights(ends: NDArray[Any], flat: NDArray[Any], groups: NDArray[Any]) -> NDArray[Any]:
    """log(1 + N / df) of each word of each text, within the text's group."""
    words = int(flat.max(initial=0)) + 1
    owner = np.repeat(np.arange(len(groups), dtype=np.int64), np.diff(ends))
    keys = groups[owner].astype(np.int64) * words + flat
    once = np.unique(owner * words + flat)  # a word of a text counts once
    distinct = groups[once // words].astype(np.int64) * words + once % words
    values, counts = np.unique(distinct, return_counts=True)
    frequency = counts[np.searchsorted(values, keys)]
    return np.log1p(np.bincount(groups)[groups[owner]] / frequency)


def _candidates(
    hashes: NDArray[np.uint64], ends: NDArray[Any], flat: NDArray[Any], changes: NDArray[Any]
) -> Iterator[tuple[int, int]]:
    """Yield pairs of texts that share a band of their signatures and whose lengths allow the similarity."""
    lengths = np.diff(ends)
    owner, shingle = _shingles(hashes, ends, flat, lengths)
    texts, starts = np.unique(owner, return_index=True)
    bands = np.empty((BANDS, len(texts)), np.uint32)
    offsets = np.append(starts, len(owner))
    for first in range(0, len(texts), CHUNK):
        last = min(first + CHUNK, len(texts))
        part = offsets[first : last + 1]
        signature = _signatures(shingle[part[0] : part[-1]], part - part[0])
        for band in range(BANDS):
            key = np.zeros(last - first, np.uint64)
            for column in range(band * ROWS, (band + 1) * ROWS):
                key = _mixed(key * np.uint64(_BASE) + signature[:, column])
            bands[band, first:last] = (key >> np.uint64(32)).astype(np.uint32)
    found = np.empty(0, np.int64)
    for band in range(BANDS):
        found = np.union1d(found, _in_buckets(bands[band], len(texts)))
    a, b = texts[found // max(len(texts), 1)], texts[found % max(len(texts), 1)]
    near = np.abs(lengths[a] - lengths[b]) <= np.maximum(changes[a], changes[b])
    yield from zip(a[near].tolist(), b[near].tolist(), strict=True)


def _in_buckets(band: NDArray[Any], n: int) -> NDArray[np.int64]:
    """a * n + b for the pairs a < b with one value; in large buckets only for neighbours."""
    order = np.argsort(band, kind="stable")
    values = band[order]
    bounds = np.flatnonzero(np.diff(values)) + 1
    sizes = np.diff(np.concatenate([[0], bounds, [n]]))
    size = np.repeat(sizes, sizes)
    pairs = []
    for step in range(1, int(min(sizes.max(initial=1), BUCKET))):
        same = values[:-step] == values[step:]
        if step > NEIGHBOURS:
            same &= size[:-step] <= BUCKET
        at = np.flatnonzero(same)
        if not len(at):
            break
        pairs.append(order[at] * n + order[at + step])  # a stable sort keeps a < b
    return np.concatenate(pairs) if pairs else np.empty(0, np.int64)


def _shingles(
    hashes: NDArray[np.uint64], ends: NDArray[Any], flat: NDArray[Any], lengths: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return (text, hash) of the informative words, and runs of three words where there are few; sorted by text."""
    owner = np.repeat(np.arange(len(lengths)), lengths)
    long = lengths[owner] >= MIN_WORDS
    common = max(COMMON_LEAST, COMMON_SHARE * min(len(lengths), (len(lengths) * MANY) ** 0.5))
    values = hashes[flat]
    one = _rare(owner[long], values[long], common)
    count = np.bincount(one[0], minlength=len(lengths))
    at = np.flatnonzero(long & (count[owner] < FEW))
    at = at[at + 2 < ends[owner[at] + 1]]
    run = _mixed(values[at] * np.uint64(3) + _mixed(values[at + 1] * np.uint64(5) + _mixed(values[at + 2])))
    three = _rare(owner[at], run, common)
    owners, shingles = np.concatenate([one[0], three[0]]), np.concatenate([one[1], three[1]])
    order = np.argsort(owners, kind="stable")
    return owners[order], shingles[order]


def _rare(owner: NDArray[Any], values: NDArray[Any], common: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return (text, value) once each, for the values that at most `common` texts hold."""
    order = np.lexsort((values, owner))
    owner, values = owner[order], values[order]
    new = np.ones(len(owner), bool)
    new[1:] = (owner[1:] != owner[:-1]) | (values[1:] != values[:-1])
    owner, values = owner[new], values[new]
    _, number, counts = np.unique(values, return_inverse=True, return_counts=True)
    keep = counts[number] <= common
    return owner[keep], values[keep]


def _signatures(shingles: NDArray[np.uint64], offsets: NDArray[Any]) -> NDArray[np.uint64]:
    from rensa import RMinHash

    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        np.ascontiguousarray(shingles), offsets.astype(np.uint64), BANDS * ROWS, 1
    )
    return np.array(matrix.to_rows(), np.uint64).reshape(len(offsets) - 1, BANDS * ROWS)


def _mixed(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of MurmurHash3: each bit of the value moves all bits."""
    for shift, factor in ((33, 0xFF51AFD7ED558CCD), (33, 0xC4CEB9FE1A85EC53)):
        value = (value ^ (value >> np.uint64(shift))) * np.uint64(factor)
    return value ^ (value >> np.uint64(33))


def _prefix_sums(values: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return (sums of value[i] base^i before each position, base^-i): a window's hash is a difference times a power."""
    n = len(values) + 1
    powers = np.cumprod(np.full(n, _BASE, np.uint64)) * np.uint64(_INVERSE)
    inverse: NDArray[Any] = np.cumprod(np.full(n, _INVERSE, np.uint64)) * np.uint64(_BASE)
    sums: NDArray[np.uint64] = np.zeros(n, np.uint64)
    np.cumsum(values * powers[:-1], out=sums[1:])
    return sums, inverse


def _windows(
    sums: NDArray[np.uint64], inverse: NDArray[np.uint64], starts: NDArray[Any], length: int | NDArray[Any]
) -> NDArray[np.uint64]:
    return (sums[starts + length] - sums[starts]) * inverse[starts]
