"""A method that has learned from a support set, in a form that can be stored: what it was made from, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from scipy.special import log_softmax

from metaicl.inference.opening import LOCK, MethodSource, user_task
from metaicl.inference.reliability import Reliability, reliability_of
from metaicl.lm.shared_work import nothing_shared
from metaicl.methods.base import Method
from metaicl.methods.baselines.auto import AutoChoice, AutoPredictor
from metaicl.methods.predictor import Answer, Predictor
from task_suites.example import Example
from task_suites.formats.tagging import STOP
from task_suites.task import Task


class _AtHand:
    """A method that is open."""

    def __init__(self, method: Method):
        self.method = method

    def open(self) -> Method:
        return self.method


class FittedMethod:
    """A method adapted to a task. A pickled or deep copy does not hold the open model; when it is next used, it opens
    the method again and adapts it to the same support set, which gives the same answers.

    Args:
        source: what opens the method.
        support: the demonstrations, in the order of the prompt.
        labels: the class names; empty where the task has none.
        instruction: the task's.
        before: one whose states are used again where it has the same method and its demonstrations begin alike.

    Raises:
        UserError: the method cannot be opened, or cannot learn from this support set.
    """

    def __init__(
        self,
        source: MethodSource,
        support: Sequence[Example],
        labels: tuple[str, ...] = (),
        instruction: str = "",
        before: FittedMethod | None = None,
    ):
        self.source, self.support, self.labels, self.instruction = source, tuple(support), labels, instruction
        self._adapted: tuple[Method, Predictor] | None = None
        self._reliability: Reliability | None = None
        self._adapt(before)

    @classmethod
    def around(
        cls, method: Method, support: Sequence[Example], labels: tuple[str, ...] = (), instruction: str = ""
    ) -> FittedMethod:
        """Return a method at hand, adapted. It cannot be stored.

        Raises:
            UserError: the method cannot learn from this support set.
        """
        return cls(cast(MethodSource, _AtHand(method)), support, labels, instruction)

    @property
    def task(self) -> Task:
        """The task of the demonstrations."""
        return user_task(self.support, self.labels, self.instruction)

    @property
    def method(self) -> Method:
        """The method, opened."""
        return self._adapt()[0]

    @property
    def state_bytes(self) -> int:
        """The memory of the states that serve all queries, in bytes."""
        return self._adapted[1].state_bytes if self._adapted else 0

    @property
    def dropped(self) -> int:
        """Demonstrations that the last answers' prompts left out, where the method's options allow it."""
        return self._adapted[1].dropped if self._adapted else 0

    @property
    def choice(self) -> AutoChoice | None:
        """Which method `auto` took and why; None for another method."""
        predictor = self._adapt()[1]
        return predictor.choice if isinstance(predictor, AutoPredictor) else None

    @property
    def reliability(self) -> Reliability:
        """How far probabilities over the labels can be believed. The first time, the method learns from parts of the
        demonstrations."""
        with LOCK:
            if self._reliability is None:
                with nothing_shared():
                    self._reliability = reliability_of(self.method, self.task, self.support)
            return self._reliability

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """Return the method's scores `[texts, labels]` in float64; higher is better."""
        if not texts:
            return np.empty((0, len(self.labels)))
        with LOCK:
            _, predictor = self._adapt()
            with nothing_shared():  # a service would keep the vectors of all texts that it ever saw
                found = predictor.scores([Example(text, None, self.labels) for text in texts])
        return np.stack(found).astype(np.float64)

    def answers(self, queries: Sequence[Example]) -> list[Answer]:
        """Return an answer to each query."""
        with LOCK:
            _, predictor = self._adapt()
            with nothing_shared():
                return predictor.answers(queries)

    def answer_logprob(self, query: Example, answer: str | tuple[str, ...]) -> float:
        """Return the log-probability of an answer: among the options, or summed over its words' tags or its tokens.

        Raises:
            UserError: the method gives no probabilities of texts.
        """
        with LOCK:
            method, predictor = self._adapt()
            with nothing_shared():
                return _logprob(method, self.task, predictor, query, answer)

    def logprob_without(self, left_out: int, query: Example, answer: str | tuple[str, ...]) -> float:
        """Return `answer_logprob` where the method learns from all demonstrations but one."""
        with LOCK:
            method, whole = self._adapt()
            task, fewer = self.task, [*self.support[:left_out], *self.support[left_out + 1 :]]
            with nothing_shared():
                predictor = method.predictor_for(task, fewer)
                predictor.continue_from(whole)
                return _logprob(method, task, predictor, query, answer)

    def _adapt(self, before: FittedMethod | None = None) -> tuple[Method, Predictor]:
        with LOCK:
            if self._adapted is None:
                method = self.source.open()
                predictor = method.predictor_for(self.task, self.support)
                if before is not None and before._adapted and before._adapted[0] is method:
                    predictor.continue_from(before._adapted[1])
                predictor.prepare()  # a prompt that does not fit is an error of fit
                self._adapted = method, predictor
            return self._adapted

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_adapted": None}


def _logprob(method: Method, task: Task, predictor: Predictor, query: Example, answer: str | tuple[str, ...]) -> float:
    if query.options is not None:
        (scores,) = predictor.scores([query])
        return float(log_softmax(np.asarray(scores, np.float64))[query.options.index(str(answer))])
    if isinstance(answer, tuple):
        if scored := predictor.tag_scores([query]):
            names, rows = scored
            if not set(answer) <= set(names):
                return -np.inf
            shares = log_softmax(rows, axis=1)
            return float(sum(shares[i, names.index(tag)] for i, tag in enumerate(answer)))
        answer = method.form_of(task).written(Example(tokens=query.tokens, tags=answer))
    return predictor.answer_logprobs([query], [answer + STOP])[0]
