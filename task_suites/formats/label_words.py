"""Which words stand for a task's labels: a way of naming them is one function (`LABEL_WORDS`).

What a label's word says helps a model beyond the demonstrations; other words take that help away (Wei et al. 2023,
arXiv 2303.03846: semantically unrelated and flipped labels). The draw is a function of (seed, task) only.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from task_suites.core.errors import UserError, nearest
from task_suites.task import Task

Words = Callable[[Sequence[str], random.Random], "list[str] | None"]  # labels -> their words; None where too few
_TYPE = re.compile(r"[^\s;=]+( [^\s;=]+)*")  # what a tag's type may be, as in `Example.problem`


# Common, short, concrete words that stand for classes when labels are made arbitrary, so that a label's meaning can
# only be read off the demonstrations.
_WORDS = """
apple barn basket beacon bell bishop blanket bottle branch bridge bronze bucket button cabin candle canyon
carpet castle cedar chalk chapel cherry clover cobra coral cotton cradle crystal dagger daisy desert diamond
dolphin donkey dragon drum eagle elbow ember engine falcon feather fiddle flint forest fossil fountain garden
ginger globe granite hammer harp hazel helmet honey hornet island ivory jacket jungle kettle ladder lantern
lemon lily lizard magnet maple marble meadow mirror mitten monkey needle nickel oasis olive onion orchid otter
paddle parrot pebble pepper pigeon pillow planet plum pocket pony puddle pumpkin quartz rabbit ribbon rocket
saddle salmon scarf shadow shovel silver sparrow spider statue sugar thimble thunder tiger timber trumpet tulip
tunnel turtle umbrella valley velvet walnut whistle willow window wizard zebra
"""
ARBITRARY_WORDS: tuple[str, ...] = tuple(_WORDS.split())


def own(labels: Sequence[str], rng: random.Random) -> list[str] | None:
    """Return the labels themselves."""
    return list(labels)


def arbitrary(labels: Sequence[str], rng: random.Random) -> list[str] | None:
    """Common words that have nothing to do with the labels."""
    taken = {word for label in labels for word in re.findall(r"[^\W_]+", label.casefold())}
    free = [word for word in ARBITRARY_WORDS if word not in taken]
    return rng.sample(free, len(labels)) if len(labels) <= len(free) else None


def nonsense(labels: Sequence[str], rng: random.Random) -> list[str] | None:
    """Strings of five letters that mean nothing (symbol tuning, Wei et al. 2023, arXiv 2305.08298)."""
    found: list[str] = []
    while len(found) < len(labels):
        word = "".join(
            rng.choice(letters) for letters in ("bdfgklmnprstvz", "aeiou", "bdfgklmnprstvz", "aeiou", "bdkmt")
        )
        if word not in found and word not in labels:
            found.append(word)
    return found


def shuffled(labels: Sequence[str], rng: random.Random) -> list[str] | None:
    """Return the labels' own words, none at its own label: flipped labels."""
    order = rng.sample(list(labels), len(labels))
    following = dict(zip(order, [*order[1:], *order[:1]], strict=True))
    return [following[label] for label in labels]


LABEL_WORDS: dict[str, Words] = {"own": own, "arbitrary": arbitrary, "random": nonsense, "shuffled": shuffled}


def names_of(task: Task) -> list[str]:
    """Return what words can stand for: the task's labels, or the types of its tags."""
    if task.form != "tags":
        return list(task.labels)
    return sorted({t[2:] for s in ("train", "test") for e in task.examples(s) for t in e.tags or () if t != "O"})


def drawn_words(name: str, task: Task, seed: int) -> dict[str, str]:
    """label (or type of a tag) -> word, as `LABEL_WORDS[name]` draws them for a task; empty where it has no fixed ones.

    Raises:
        UserError: there are too few words for this many labels.
    """
    labels = [] if name == "own" else names_of(task)
    if not labels:
        return {}
    words = LABEL_WORDS[name](labels, random.Random(f"{seed}/{task.name}/label words/{name}"))
    if words is None:
        raise UserError(
            f"task {task.name}: too few {name} label words",
            found=f"{len(labels)} labels",
            fix="Take format.label_words random, which has enough for any number.",
        )
    return dict(zip(labels, words, strict=True))


def verbalized(verbalizer: Mapping[str, Any], task: Task) -> dict[str, str]:
    """label -> word of a task: what stands under its name where there is such an entry, else the words for all tasks.

    Labels without a word keep their own.

    Raises:
        UserError: a word of several lines, a label that the task does not have, or two labels that would
            be written alike.
    """
    mine = verbalizer.get(task.name)
    special = isinstance(mine, Mapping)
    words = dict(mine) if isinstance(mine, Mapping) else {k: v for k, v in verbalizer.items() if isinstance(v, str)}
    where = f"format.verbalizer, task {task.name}"
    for label, word in words.items():
        if not isinstance(word, str) or not word or word != " ".join(word.split()):
            raise UserError(f"label {label!r} has no word", where=where, found=repr(word), expected="a word or phrase")
    known = names_of(task)
    if task.form == "tags" and (bad := [word for word in words.values() if not _TYPE.fullmatch(word)]):
        raise UserError("the word for a type of span must not hold ; or =", where=where, found=repr(bad[0]))
    if special and known and (unknown := [label for label in words if label not in known]):
        raise UserError(f"no label {unknown[0]!r}", where=where, fix=nearest(unknown[0], known))
    check_distinct([words.get(label, label) for label in known], where)
    return words


def check_distinct(words: Sequence[str], where: str) -> None:
    """Raise a `UserError` where two answers would be written alike."""
    if len(set(words)) < len(words):
        twice = next(word for word in words if words.count(word) > 1)
        fix = "Give each answer a word of its own."
        raise UserError("two answers would be written alike", where=where, found=repr(twice), fix=fix)
