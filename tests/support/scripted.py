"""Contenders whose answers are known: the whole comparison without a model."""

from __future__ import annotations

import numpy as np
from toys import FRUIT

from eval.config import Protocol
from eval.contenders import Contender
from metaicl.methods.base import Method
from metaicl.methods.predictor import Predictor
from task_suites.formats.prompt_format import PromptFormat
from task_suites.sources import SuiteConfig

TOYS = SuiteConfig(["toys:toy_suite"], min_train=1, min_test=1)
PROTOCOL = Protocol([2, 4], seeds=2, queries=5)


class Scripted(Method):
    """Knows every answer by the word it ends with, or answers wrong on purpose; counts its adaptations."""

    adaptations = 0

    def __init__(self, right: bool = True):
        Method.__init__(self, None, PromptFormat(), Method.Config())  # type: ignore[arg-type]
        self.right = right

    def refusal(self, task):
        return "no choice tasks" if task.name == "choice" else None

    def adapt(self, task, support):
        Scripted.adaptations += 1
        assert all(e.output is not None for e in support)
        return ScriptedPredictor(self.right)


class ScriptedPredictor(Predictor):
    def __init__(self, right: bool):
        self.right = right

    def scores(self, queries):

        assert all(q.output is None and q.tags is None for q in queries)
        truth = [0 if q.input.split()[-1] in FRUIT else 1 for q in queries]
        return [np.eye(2)[t if self.right else 1 - t] for t in truth]


def scripted(right: bool = True, cells: int = 0) -> Contender:
    name = "right" if right else "wrong"
    return Contender(name, name.title(), lambda: Scripted(right), name, cells=cells)
