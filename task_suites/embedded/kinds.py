"""The four kinds of task: each function turns templates and a lexicon into a draw, which makes one example.

A template that asks for a class, a tag or a span is an ordinary template; what is asked of it is what differs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from task_suites.embedded.grammar import captured, finished, tagged
from task_suites.embedded.templates import Filler, Lexicon, Phrases
from task_suites.example import Example

Draw = Callable[[random.Random], Example]


def class_of(slot: str, labels: Mapping[str, str], templates: Phrases, lexicon: Lexicon, free_text: bool) -> Draw:
    """Return the draw of a task that asks for the class of `slot`.

    Args:
        labels: the label word of each class. Several classes may share one; classes that it lacks do not occur.
        free_text: the label words are not given as options: the answer is to be written.
    """
    words = tuple(dict.fromkeys(labels.values()))
    classes = {word: tuple(c for c, label in labels.items() if label == word) for word in words}
    options = None if free_text else words

    def draw(rng: random.Random) -> Example:
        word = rng.choice(words)
        filler = Filler(rng, lexicon, {slot: rng.choice(classes[word])})
        return Example(input=finished(filler.fill(rng.choice(templates))), output=word, options=options)

    return draw


def choice_of(groups: Sequence[tuple[Phrases, Phrases]], templates: Phrases, lexicon: Lexicon, options: int) -> Draw:
    """Return the draw of a multiple-choice task with `options` options.

    Each group is (situations, endings). A template holds the situation as ``{situation}``; the right option is an
    ending of the same group, and the wrong ones are endings of other groups.
    """
    situations = {str(i): group[0] for i, group in enumerate(groups)}
    endings = {str(i): group[1] for i, group in enumerate(groups)}
    with_situations: Lexicon = {**lexicon, "situation": situations}
    ending = lru_cache(maxsize=256)(finished)  # few and often drawn

    def draw(rng: random.Random) -> Example:
        right, *wrong = rng.sample(tuple(situations), options)
        filler = Filler(rng, with_situations, {"situation": right})
        text = finished(filler.fill(rng.choice(templates)))
        answer = ending(filler.fill(rng.choice(endings[right])))
        choices = [answer, *(ending(filler.fill(rng.choice(endings[group]))) for group in wrong)]
        rng.shuffle(choices)
        return Example(input=text, output=answer, options=tuple(choices))

    return draw


def tags_of(templates: Phrases, lexicon: Lexicon) -> Draw:
    """Return the draw of a tagging task, whose spans are marked ``<TYPE:...>`` in the templates or the phrases."""

    def draw(rng: random.Random) -> Example:
        tokens, tags = tagged(finished(Filler(rng, lexicon).fill(rng.choice(templates))))
        return Example(tokens=tokens, tags=tags)

    return draw


def span_of(templates: Phrases, lexicon: Lexicon) -> Draw:
    """Return the draw of a generation task whose answer is the text inside the mark ``<X:...>``."""

    def draw(rng: random.Random) -> Example:
        _, answer = captured(filled := Filler(rng, lexicon).fill(rng.choice(templates)))
        return Example(input=captured(finished(filled))[0], output=answer)

    return draw
