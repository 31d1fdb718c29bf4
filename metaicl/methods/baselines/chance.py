"""Random and majority answers: what a score has to beat."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import numpy as np

from metaicl.methods.base import EVERY_FORM, EVERY_KIND, Method, support_keys
from metaicl.methods.predictor import Predictor
from task_suites.example import Example
from task_suites.task import Task


class RandomPredictor(Predictor):
    """Answers at random: a query's draw depends on task, support and query only."""

    def __init__(self, task: Task, support: Sequence[Example]):
        self.name = f"{task.name}/{support_keys(support)}"
        self.support = support

    def _rng(self, query: Example) -> random.Random:
        return random.Random(f"{self.name}/{query.content}")

    def scores(self, queries: Sequence[Example]) -> list[np.ndarray]:
        result = []
        for query in queries:
            rng = self._rng(query)
            result.append(np.array([rng.random() for _ in query.options or ()]))
        return result

    def generate(self, queries: Sequence[Example]) -> list[str]:
        return [self._rng(q).choice(self.support).output or "" if self.support else "" for q in queries]

    def tag(self, queries: Sequence[Example]) -> list[tuple[str, ...]]:
        known = sorted({tag[2:] for e in self.support for tag in e.tags or () if tag != "O"})
        choices = ["O", *(f"B-{kind}" for kind in known)]
        result = []
        for query in queries:
            rng = self._rng(query)
            result.append(tuple(rng.choice(choices) for _ in query.tokens or ()))
        return result


class MajorityPredictor(Predictor):
    """The support's most frequent answer (the first such in prompt order); no tag at all for tagging."""

    def __init__(self, support: Sequence[Example]):
        self.counts = Counter(e.output for e in support)

    def scores(self, queries: Sequence[Example]) -> list[np.ndarray]:
        return [np.array([float(self.counts[option]) for option in q.options or ()]) for q in queries]

    def generate(self, queries: Sequence[Example]) -> list[str]:
        best = self.counts.most_common(1)
        return [(best[0][0] or "") if best else ""] * len(queries)

    def tag(self, queries: Sequence[Example]) -> list[tuple[str, ...]]:
        return [("O",) * len(q.tokens or ()) for q in queries]


class RandomAnswer(Method):
    label = "Random"
    note = "an answer drawn at random"
    backbones = EVERY_KIND
    weights = "frozen"
    reads_prompts = False
    serves = EVERY_FORM

    def adapt(self, task: Task, support: Sequence[Example]) -> RandomPredictor:
        return RandomPredictor(task, support)


class MajorityAnswer(Method):
    label = "Majority"
    note = "the demonstrations' most frequent answer"
    backbones = EVERY_KIND
    weights = "frozen"
    reads_prompts = False
    serves = EVERY_FORM

    def adapt(self, task: Task, support: Sequence[Example]) -> MajorityPredictor:
        return MajorityPredictor(support)
