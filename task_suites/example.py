"""`Example`: one item of a task, and what makes it, its options and its labels unsound."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass, replace
from functools import cached_property, lru_cache
from typing import ClassVar, Literal, get_args

Form = Literal["options", "text", "tags"]
FORMS: tuple[str, ...] = get_args(Form)
_BIO = re.compile(r"O|[BI]-[^\s;=]+( [^\s;=]+)*")  # "words = type; words = type" must be readable again
_VARIATION = re.compile("[\u034f\u115f\u1160\u3164\uffa0\ufe00-\ufe0f]")  # marks and fillers that show nothing


@dataclass(frozen=True)
class Example:
    """One item of a task, in one of three forms.

    - ``options``: `input`, `output` and `options`, the output being one of the options;
    - ``text``: `input` and `output`, the output being free text;
    - ``tags``: `tokens` and `tags` of equal length (BIO).

    A query is an example without its answer (`hidden()`); a method is never given more.

    Attributes:
        accepted: right answers besides `output`, in the ``options`` form further options, in the ``tags`` form none; a
            metric takes the best of them.
        where: file and line that the example is read from, where its reader knows them.
    """

    input: str = ""
    output: str | None = None
    options: tuple[str, ...] | None = None
    tokens: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None
    accepted: tuple[str, ...] = ()
    where: InitVar[str | None] = None
    _place: ClassVar[str | None] = None  # no field, since equality and hashes do not depend on it

    def __post_init__(self, where: str | None) -> None:
        if where is not None:
            object.__setattr__(self, "_place", where)

    @property
    def form(self) -> Form:
        """How the example is answered; method dispatch goes by this and not by the task's type."""
        if self.tokens is not None:
            return "tags"
        return "text" if self.options is None else "options"

    @property
    def text(self) -> str:
        """The input as one line of text (tokens joined by blanks for the ``tags`` form)."""
        return self.input if self.tokens is None else " ".join(self.tokens)

    @property
    def place(self) -> str | None:
        """File and line that the example was read from, where its reader knows them."""
        return self._place

    @cached_property
    def content(self) -> str:
        """What makes two examples the same item: the input, without regard to case and white space.

        Neither the answer nor the options take part, so that a relabelled duplicate is still found.
        """
        text = self.text.casefold()
        # in most texts the only white space is single blanks inside, and seeing that is quicker than splitting
        return text if text.isprintable() and "  " not in text and text == text.strip() else " ".join(text.split())

    def hidden(self) -> Example:
        """Return the same example without its answer."""
        return replace(self, output=None, tags=None, accepted=())

    def problem(self, labels: Sequence[str] = (), answered: bool = True) -> tuple[str, object, object] | None:
        """Return (what is wrong, found, expected), or None for a sound example.

        Args:
            labels: the task's labels, where it has a fixed list.
            answered: whether the example must hold its answer; a query need not.
        """
        try:
            texts = (self.text, self.output or "", *(self.options or ()), *(self.tags or ()), *self.accepted)
            "".join(texts).encode()
        except UnicodeEncodeError as error:
            return "not Unicode text", f"half of a surrogate pair in {error.object[:60]!r}", "whole characters"
        if self.tokens is not None:
            return self._tokens_problem(self.tokens) or (self._tags_problem(self.tokens) if answered else None)
        if self.tags is not None:
            return "tags without tokens", list(self.tags), "tokens and tags, or input and output"
        if not self.input.strip():
            return "the input is empty", repr(self.input), "some text"
        return self._options_problem(labels) or (self._answer_problem(labels) if answered else None)

    def _options_problem(self, labels: Sequence[str]) -> tuple[str, object, object] | None:
        if self.options is None:
            return None
        if wrong := _choices_problem(self.options):
            return wrong
        unknown = [option for option in self.options if labels and option not in labels]
        return ("unknown label", repr(unknown[0]), f"one of {list(labels)}") if unknown else None

    def _answer_problem(self, labels: Sequence[str]) -> tuple[str, object, object] | None:
        if not (self.output or "").strip():
            return "the output is empty", repr(self.output), "an answer"
        assert self.output is not None
        if self.options is None:
            if labels:
                return "the options are missing", "labels in the task", f"options from {list(labels)}"
            if "\n" in self.output:  # generation stops at a line break
                return "the output has several lines", repr(self.output[:60]), "one line"
            bad = [answer for answer in self.accepted if "\n" in answer or not answer.strip()]
            return ("an accepted answer is empty or has several lines", repr(bad[0][:60]), "one line") if bad else None
        if self.output not in self.options:
            what = (
                "the answer is not one of the labels"
                if labels and self.output not in labels
                else "the options lack the answer"
            )
            return what, f"output {self.output!r}", f"one of {list(self.options)}"
        missing = [answer for answer in self.accepted if answer not in self.options]
        return (
            ("the options lack an accepted answer", repr(missing[0]), f"some of {list(self.options)}")
            if missing
            else None
        )

    def _tokens_problem(self, tokens: Sequence[str]) -> tuple[str, object, object] | None:
        if self.input or self.output is not None or self.options is not None or self.accepted:
            return "tokens beside input, output or options", "two forms in one example", "only tokens and tags"
        if not tokens:
            return "no tokens", "an empty list", "at least one token"
        blank = [token for token in tokens if token.split() != [token]]
        return ("a token is empty or holds white space", repr(blank[0]), "one word a token") if blank else None

    def _tags_problem(self, tokens: Sequence[str]) -> tuple[str, object, object] | None:
        if self.tags is None or len(self.tags) != len(tokens):
            found = "no tags" if self.tags is None else f"{len(tokens)} tokens and {len(self.tags)} tags"
            return "tokens and tags differ in number", found, "one tag a token"
        bad = [tag for tag in self.tags if not _BIO.fullmatch(tag)]
        return ("not a BIO tag", repr(bad[0]), "O, B-TYPE or I-TYPE, the type without ; or =") if bad else None


@lru_cache(maxsize=256)  # the examples of a task share their options
def _choices_problem(options: tuple[str, ...]) -> tuple[str, object, object] | None:
    if len(set(options)) != len(options) or len(options) < 2:
        return "there must be at least two options, all different", list(options), "distinct options"
    if not all(option.strip() for option in options):
        return "an option is empty", list(options), "some text in each"
    alike = _alike(options, str.strip)
    return ("two options differ only by blanks", list(alike), "options that differ in their words") if alike else None


def labels_problem(labels: Sequence[str]) -> tuple[str, object, object] | None:
    """Return (what is wrong, found, expected) with the labels of a task, or None.

    Each label is one line of text, and no two differ only by blanks or case.
    """
    for label in labels:
        if not _as_seen(label).strip():
            return "a label is empty", repr(label), "some text in each"
        if len(f"{label}.".splitlines()) > 1:
            return "a label has several lines", repr(label[:60]), "one line"
    if len(set(labels)) != len(labels):
        return "labels occur twice", list(labels), "distinct labels"
    if alike := _alike(labels, lambda label: " ".join(label.split()).casefold()):
        return "two labels differ only by blanks or case", list(alike), "labels that differ in their words"
    if alike := _alike(labels, _as_seen):
        return "two labels look the same", [ascii(label) for label in alike], "labels that differ in their letters"
    return None


def _as_seen(text: str) -> str:
    """Without what does not show: how letters with marks are composed, controls and other characters of no width."""
    shown = unicodedata.normalize("NFC", _VARIATION.sub("", text))
    return "".join(c for c in shown if c.isspace() or unicodedata.category(c) not in ("Cf", "Cc"))


def _alike(texts: Sequence[str], seen_as: Callable[[str], str]) -> tuple[str, str] | None:
    """Return the first two texts that are seen as one."""
    first: dict[str, str] = {}
    for text in texts:
        if first.setdefault(seen_as(text), text) != text:
            return first[seen_as(text)], text
    return None
