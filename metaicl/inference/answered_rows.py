"""Answers to a file of questions, each with the row that it answers, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from scipy.special import softmax

from metaicl.inference.explanation import explained
from metaicl.inference.fitted import FittedMethod
from metaicl.inference.input_rows import Row
from metaicl.inference.questions import Answered, Questions
from metaicl.methods.predictor import Answer
from task_suites.example import Example

BATCH = 256  # queries that are answered together


@dataclass(frozen=True)
class Shown:
    """What is said with an answer.

    Attributes:
        probabilities: whether the softmax of the scores stands beside them.
        at_least: the least probability of the best option; below it the answer is null. None answers always.
        explain: whether each answer has what each demonstration does for it.
    """

    probabilities: bool = False
    at_least: float | None = None
    explain: bool = False


PLAIN = Shown()


def answer_questions(fitted: FittedMethod, questions: Questions, shown: Shown = PLAIN, done: int = 0) -> Iterator[Row]:
    """Yield one dictionary a row, in order: what was given, `answer`, and `scores` by option.

    Args:
        done: the number of rows at the beginning that are passed over.
    """
    rest = islice(questions.read(), done, None)
    while batch := list(islice(rest, BATCH)):
        answers = fitted.answers([query for query, _ in batch])
        for (query, row), answer in zip(batch, answers, strict=True):
            yield {**row, **_answered(fitted, query, answer, shown)}


def _answered(fitted: FittedMethod, query: Example, answer: Answer, shown: Shown) -> Answered:
    found: Answered = {"answer": list(answer.text) if isinstance(answer.text, tuple) else answer.text}
    if answer.scores is not None:
        scores = np.asarray(answer.scores, np.float64)
        shares = softmax(scores)
        if shown.at_least is not None and shares.max() < shown.at_least:
            found["answer"] = None
        found["scores"] = {o: round(float(s), 5) for o, s in zip(query.options or (), scores, strict=True)}
        if shown.probabilities:
            pairs = zip(query.options or (), shares, strict=True)
            found["probabilities"] = {option: round(float(share), 5) for option, share in pairs}
    if shown.explain:
        influences = explained(fitted, query).demonstrations
        found["explanation"] = [
            {"input": one.text, "answer": one.answer, "change": one.change and round(one.change, 5)}
            for one in influences
        ]
    return found
