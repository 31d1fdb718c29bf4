"""What is drawn and retrieved, as text: for processes that are compared, so it imports no test library and no torch."""

from __future__ import annotations

import numpy as np
from toys import choice_task, tag_task, text_task, toy_task

from task_suites.episodes import EpisodeSampler
from task_suites.retrieval import Retriever, retrieved_episodes

MAKERS = {"options": toy_task, "choice": choice_task, "text": text_task, "tags": tag_task}
CALLS = [(name, role, index) for name in MAKERS for role in ("train", "test") for index in (0, 7)]
KINDS = ("bm25", "draws:letters")


def drawn(call: tuple[str, str, int], seed: int = 5) -> str:
    name, role, index = call
    sampler = EpisodeSampler(seed, 6, 6, max_classes=2, arbitrary_labels=0.5)
    episode = sampler.draw(MAKERS[name](), role, index)
    return repr((episode.support, episode.queries, episode.rng("x").random()))


def letters(texts: list[str]) -> np.ndarray:
    """Counts of letters: an embedding that needs no model."""
    return np.array([[text.casefold().count(c) for c in "abcdefghijklmnopqrstuvwxyz"] for text in texts], dtype=float)


def retrieved() -> str:
    task = toy_task()
    sampler = EpisodeSampler(3, 4, 5, arbitrary_labels=0.5)
    return repr(
        [
            [(e.support, e.queries) for e in retrieved_episodes(sampler, task, role, i, Retriever(task, by, 0.3))]
            for by in KINDS
            for role in ("train", "test")
            for i in (1, 0)
        ]
    )
