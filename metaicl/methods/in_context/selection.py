"""Which demonstrations of a support set stand in the prompt: one choice for all queries, or one for each query.

A support set is what a method may learn from; a prompt may show fewer of it. Where each query has demonstrations of its
own, a `SelectedPredictor` answers it by a predictor of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import numpy as np

from metaicl.methods.predictor import Predictor
from task_suites.example import Example
from task_suites.retrieval import Retriever
from task_suites.task import Task

Selection = Literal["random", "balanced", "nearest"]
Group = tuple[tuple[Example, ...], list[int]]  # demonstrations, and the indices of the queries that they are shown to
Value = TypeVar("Value")


class Selector:
    """Chooses demonstrations from one support set.

    Args:
        selection: "random" takes the first ones as they were drawn. "balanced" takes each class's first one, then each
            class's second one, and so on. "nearest" takes, for each query, those whose inputs resemble it most by
            BM25, the nearest one last, as the closest to the query.
        shown: how many are chosen; 0 chooses all.
    """

    def __init__(self, task: Task, support: Sequence[Example], selection: Selection, shown: int):
        self.support, self.shown = tuple(support), shown if 0 < shown < len(support) else len(support)
        self.retriever: Retriever | None = None
        if self.shown < len(self.support):
            if selection == "nearest":
                self.retriever = Retriever(task.replace(load=lambda part: list(self.support)), "bm25")
            elif selection == "balanced":
                kept = balanced(self.support, self.shown)
                self.support = tuple(self.support[i] for i in kept)

    @property
    def shared(self) -> tuple[Example, ...] | None:
        """The demonstrations of all queries; None where each query has its own."""
        return None if self.retriever else self.support[: self.shown]

    def groups(self, queries: Sequence[Example]) -> list[Group]:
        """Return the queries in groups that are shown the same demonstrations, in the order of their first query."""
        if self.shared is not None:
            return [(self.shared, list(range(len(queries))))]
        found: dict[tuple[Example, ...], list[int]] = {}
        for i, query in enumerate(queries):
            found.setdefault(self._nearest(query), []).append(i)
        return list(found.items())

    def _nearest(self, query: Example) -> tuple[Example, ...]:
        assert self.retriever is not None
        others = sum(content != query.content for content in self.retriever.contents)
        return self.retriever.support(query, min(self.shown, others))[::-1]


def balanced(support: Sequence[Example], most: int) -> list[int]:
    """Return the indices of at most `most` examples, rising: each class's first one, then each class's second one, and
    so on.

    Classes are answers. Sentences with tags have no class each: of them, the first ones are taken.
    """
    seen: dict[str | None, int] = {}
    turns = []
    for i, example in enumerate(support):
        seen[example.output] = seen.get(example.output, 0) + 1
        turns.append((seen[example.output], i))
    return sorted(i for _, i in sorted(turns)[:most])


class SelectedPredictor(Predictor):
    """Answers each query given the demonstrations that are selected for it.

    Args:
        selector: chooses them.
        given: makes the predictor that has learned from some demonstrations.
    """

    def __init__(self, selector: Selector, given: Callable[[Sequence[Example]], Predictor]):
        self.selector, self.given = selector, given

    def scores(self, queries: Sequence[Example]) -> list[np.ndarray]:
        return self._each(queries, lambda predictor, group: predictor.scores(group))

    def answer_logprobs(self, queries: Sequence[Example], answers: Sequence[str]) -> list[float]:
        answer = {id(q): a for q, a in zip(queries, answers, strict=True)}
        return self._each(queries, lambda one, group: one.answer_logprobs(group, [answer[id(q)] for q in group]))

    def generate(self, queries: Sequence[Example]) -> list[str]:
        return self._each(queries, lambda predictor, group: predictor.generate(group))

    def tag(self, queries: Sequence[Example]) -> list[tuple[str, ...]]:
        return self._each(queries, lambda predictor, group: predictor.tag(group))

    def _each(
        self, queries: Sequence[Example], ask: Callable[[Predictor, Sequence[Example]], Sequence[Value]]
    ) -> list[Value]:
        """Return what each query's predictor gives for it, in the order of the queries."""
        found: dict[int, Value] = {}
        self.dropped = 0
        for shown, places in self.selector.groups(queries):
            predictor = self.given(shown)
            found.update(zip(places, ask(predictor, [queries[i] for i in places]), strict=True))
            self.dropped = max(self.dropped, predictor.dropped)
        return [found[i] for i in range(len(queries))]
