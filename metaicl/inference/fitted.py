"""A method that has learned from a support set, in a form that can be stored: what it was made from, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from metaicl.inference.opening import LOCK, MethodSource, user_task
from metaicl.methods.base import Method
from metaicl.methods.predictor import Predictor
from task_suites.example import Example


class FittedMethod:
    """A method adapted to a classification task. A pickled or deep copy does not hold the open model; when it is next
    used, it opens the method again and adapts it to the same support set, which gives the same answers.

    Args:
        source: what opens the method.
        support: the demonstrations, in the order of the prompt.
        labels: the class names.
        instruction: the task's.

    Raises:
        UserError: the method cannot be opened, or cannot learn from this support set.
    """

    def __init__(
        self, source: MethodSource, support: Sequence[Example], labels: tuple[str, ...], instruction: str = ""
    ):
        self.source, self.support, self.labels, self.instruction = source, tuple(support), labels, instruction
        self._adapted: tuple[Method, Predictor] | None = None
        self._adapt()

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """Return the method's scores `[texts, labels]` in float64; higher is better."""
        if not texts:
            return np.empty((0, len(self.labels)))
        with LOCK:
            method, predictor = self._adapt()
            with method.without_cache():  # a service would keep the vectors of all texts that it ever saw
                found = predictor.scores([Example(text, None, self.labels) for text in texts])
        return np.stack(found).astype(np.float64)

    def _adapt(self) -> tuple[Method, Predictor]:
        with LOCK:
            if self._adapted is None:
                method = self.source.open()
                task = user_task(self.support, self.labels, self.instruction)
                predictor = method.adapt(task, self.support)
                predictor.prepare()  # a prompt that does not fit is an error of fit
                self._adapted = method, predictor
            return self._adapted

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_adapted": None}
