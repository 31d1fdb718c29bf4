"""Demonstrations chosen for each query: the train examples that resemble it most.

    retriever = Retriever(task, "bm25")
    retriever.support(query, k=4)                                   # the nearest first
    retrieved_episodes(EpisodeSampler(0, 4, 32), task, "test", 0, retriever)     # one episode for each query

Retrieval reads the inputs of all the task's train examples, so it needs more labelled examples than the k that a prompt
shows: a comparison with drawn demonstrations is one of what k examples in the prompt are worth, not of k labels.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from task_suites.core.errors import UserError
from task_suites.episodes import Episode, EpisodeSampler
from task_suites.example import Example
from task_suites.sources import load_named
from task_suites.task import Task

Embed = Callable[[Sequence[str]], Any]


class _Similarity(Protocol):
    """How alike texts and the pool's are: `to_text` a text and each of the pool, `to_place` one of the pool and each;
    both `[pool]`, at most about 1."""

    def to_text(self, text: str) -> np.ndarray: ...
    def to_place(self, place: int) -> np.ndarray: ...


class Retriever:
    """Finds the train examples of one task that resemble a query.

    What is found depends on the task's train examples, the query's input, k and the seed (which orders only equals):
    each query is looked up by itself, so that neither its neighbours nor their order play a part.

    Args:
        by: "bm25" (words, by the library bm25s); or a function from texts to an array `[texts, width]`, or its name
            `package.module:function`: then cosine similarity (Liu et al. 2022, arXiv 2101.06804).
        diversity: 0 takes the nearest; towards 1, an example counts for less the more it resembles one already taken
            (maximal marginal relevance with lambda = 1 - diversity; Carbonell and Goldstein 1998).
        seed: orders examples that are equally near.

    Raises:
        UserError: diversity out of its range, an unknown `by`, or an array of another shape.
    """

    def __init__(self, task: Task, by: str | Embed, diversity: float = 0.0, seed: int = 0):
        if not 0 <= diversity <= 1:
            raise UserError(f"diversity must be between 0 and 1, but is {diversity!r}")
        if isinstance(by, str) and by != "bm25" and ":" not in by:
            raise UserError(f"unknown retrieval {by!r}", expected="bm25, or package.module:function")
        self.task, self.diversity, self.seed = task, diversity, seed
        first = {e.content: i for i, e in reversed(list(enumerate(task.examples("train"))))}
        self.places = sorted(first.values())  # each content once: a second copy would tell the model nothing
        texts = [task.examples("train")[i].text for i in self.places]
        self.contents = [task.examples("train")[i].content for i in self.places]
        self._similarity: _Similarity
        if by == "bm25":
            self._similarity = _Words(texts)
        else:
            self._similarity = _Embeddings(load_named(by) if isinstance(by, str) else by, texts)

    def support(self, query: Example, k: int) -> tuple[Example, ...]:
        """Return the k train examples to show for a query, the nearest first, so that smaller support sets are the
        starts of larger ones. No example with the query's own content is among them.

        Raises:
            UserError: the task has fewer than k others.
        """
        order = [i for i, content in enumerate(self.contents) if content != query.content]
        if k > len(order):
            raise UserError(
                f"task {self.task.name}: k={k} asks for more demonstrations than there are",
                found=f"{len(order)} distinct train examples besides the query",
                fix="Lower k.",
            )
        random.Random(f"{self.seed}/{self.task.name}/{query.content}/retrieval").shuffle(order)
        near = self._similarity.to_text(query.text)
        order.sort(key=lambda i: -near[i])  # stable: equals stay in the drawn order
        taken = self._spread(order, near, k) if self.diversity else order[:k]
        return tuple(self.task.examples("train")[self.places[i]] for i in taken)

    def _spread(self, order: Sequence[int], near: np.ndarray, k: int) -> list[int]:
        """k of `order` by maximal marginal relevance; the earliest of equals."""
        left, taken = np.array(order), list[int]()
        relevance, likeness = near[left], np.full(len(left), -np.inf)
        for _ in range(k):
            penalty = likeness if taken else np.zeros(len(left))
            best = int(np.argmax((1 - self.diversity) * relevance - self.diversity * penalty))
            taken.append(int(left[best]))
            left, relevance, likeness = (np.delete(a, best) for a in (left, relevance, likeness))
            likeness = np.maximum(likeness, self._similarity.to_place(taken[-1])[left])
        return taken


def retrieved_episodes(
    sampler: EpisodeSampler, task: Task, role: str, index: int, retriever: Retriever
) -> list[Episode]:
    """Return an episode for each query of the draw number `index`, its k demonstrations retrieved for it.

    The queries are those of a draw without demonstrations. All episodes have the draw's key, so that whatever is drawn
    from it (arbitrary labels, templates) is the same for all.

    Raises:
        UserError: a sampler with `max_classes` or `per_class`; or as `EpisodeSampler.draw` and `Retriever.support`.
    """
    if sampler.per_class:
        raise UserError("per_class does not go together with retrieval", expected="k in all", fix="Unset per_class.")
    drawn = replace(sampler, arbitrary_labels=0.0).draw(task, role, index, support=())
    found = [Episode(drawn.key, task, retriever.support(query, sampler.k), (query,)) for query in drawn.queries]
    if drawn.rng("arbitrary").random() < sampler.arbitrary_labels:
        return [episode.relabelled() for episode in found]
    return found


class _Words:
    """BM25 (Lucene's variant, k1 1.5, b 0.75) over words of letters and digits of any language, without stop words;
    as a share of what the text itself (of the pool) or the nearest (to a query) gets."""

    def __init__(self, texts: Sequence[str]):
        import bm25s

        self.words = [_words(text) for text in texts]
        self.known = {word for words in self.words for word in words}
        logging.getLogger("bm25s").setLevel(logging.WARNING)  # it says that it builds an index
        self.index = bm25s.BM25()
        if self.known:
            self.index.index(self.words, show_progress=False)

    def to_text(self, text: str) -> np.ndarray:
        scores = self._scores(_words(text))
        return scores / max(float(scores.max()), 1e-9)

    def to_place(self, place: int) -> np.ndarray:
        scores = self._scores(self.words[place])
        return scores / max(float(scores[place]), 1e-9)

    def _scores(self, words: Sequence[str]) -> np.ndarray:
        known = [word for word in words if word in self.known]
        if not known:
            return np.zeros(len(self.words))
        return np.asarray(self.index.get_scores(known), dtype=np.float64)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


class _Embeddings:
    """Cosine similarity of a function's vectors. The pool is embedded once, each query by itself."""

    def __init__(self, embed: Embed, texts: Sequence[str]):
        self.embed = embed
        self.pool = self._vectors(texts)

    def to_text(self, text: str) -> np.ndarray:
        return self._to(self._vectors([text]))

    def to_place(self, place: int) -> np.ndarray:
        return self._to(self.pool[place : place + 1])

    def _to(self, vector: np.ndarray) -> np.ndarray:
        from sklearn.metrics.pairwise import cosine_similarity

        return cosine_similarity(vector, self.pool)[0]  # type: ignore[no-any-return]

    def _vectors(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.asarray(self.embed(list(texts)), dtype=np.float64)
        if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
            raise UserError(
                "the embedding function must return one vector for each text",
                found=f"shape {list(vectors.shape)}",
                expected=f"finite numbers [{len(texts)}, width]",
            )
        return vectors
