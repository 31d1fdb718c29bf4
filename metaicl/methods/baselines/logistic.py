"""Logistic regression (scikit-learn's): on a sentence encoder's vectors, and on tf-idf weights of words. Nothing is
meta-trained: it is what people use first for a few labelled texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from metaicl.lm.backbone import Backbone
from metaicl.lm.models import Kind
from metaicl.methods.base import EVERY_KIND, Method, Space
from metaicl.methods.metric.embedding import ABSENT, EmbeddingMethod
from metaicl.methods.metric.encoder_items import EncoderItems
from metaicl.methods.predictor import Predictor
from task_suites.core.ranges import Positive
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Task

INVERSE_RIDGE: Space = {"options.inverse_ridge": ("log", 0.1, 100.0)}


class Logistic(EmbeddingMethod):
    """Logistic regression on a sentence encoder's vectors, as the encoder gives them."""

    label = "Logistic regression"
    note = "logistic regression on a sentence encoder's vectors"
    meta_trained = False
    backbones: ClassVar[frozenset[Kind]] = frozenset({"encoder"})
    space = INVERSE_RIDGE

    @dataclass(frozen=True)
    class Config(EmbeddingMethod.Config):
        """The options of logistic regression on vectors.

        Attributes:
            inverse_ridge: the parameter C of scikit-learn's `LogisticRegression`.
        """

        inverse_ridge: Positive = 1.0

    config: Config

    def __init__(self, backbone: Backbone, form: PromptFormat, config: Config):
        super().__init__(backbone, form, config)
        assert isinstance(self.embed, EncoderItems)  # by `backbones`
        self.embed.raw = True

    def logits(self, shots: Tensor, labels: Tensor, queries: Tensor, classes: int) -> Tensor:
        """Return the log-probabilities of the classes."""
        return regression(shots, labels, queries, self.config.inverse_ridge)


def regression(shots: Tensor, labels: Tensor, queries: Tensor, inverse_ridge: float) -> Tensor:
    """Return `[queries, classes]`: log-probabilities by a logistic regression on the shots; with one class 0."""
    found = log_probabilities(
        shots.double().cpu().numpy(), labels.cpu().numpy(), queries.double().cpu().numpy(), inverse_ridge
    )
    return torch.from_numpy(found).to(queries)


def log_probabilities(shots: Any, labels: np.ndarray, queries: Any, inverse_ridge: float) -> np.ndarray:
    """Return `[queries, classes]` by scikit-learn, for arrays or sparse matrices; 0 where there is one class only."""
    from sklearn.linear_model import LogisticRegression

    if len(set(labels.tolist())) == 1:
        return np.zeros((queries.shape[0], 1))
    head = LogisticRegression(C=inverse_ridge, max_iter=1000).fit(shots, labels)
    found: np.ndarray = head.predict_log_proba(queries)
    return found


class TfidfLogistic(Method):
    """Logistic regression on tf-idf weights of words, without any model."""

    label = "Logistic regression, tf-idf"
    note = "logistic regression on words' tf-idf weights, without a model"
    paper = "Spärck Jones 1972, A statistical interpretation of term specificity"
    backbones = EVERY_KIND
    weights = "frozen"
    reads_prompts = False
    order_free = True
    space = INVERSE_RIDGE

    @dataclass(frozen=True)
    class Config(Method.Config):
        """The options of logistic regression on tf-idf weights.

        Attributes:
            inverse_ridge: the parameter C of scikit-learn's `LogisticRegression`.
        """

        inverse_ridge: Positive = 1.0

    config: Config

    def refusal(self, task: Task) -> str | None:
        if reason := super().refusal(task):
            return reason
        return None if task.labels else "options of each example's own; it needs a fixed list of labels"

    def adapt(self, task: Task, support: Sequence[Example]) -> TfidfPredictor:
        self.check_serves(task)
        return TfidfPredictor(support, self.config.inverse_ridge)


class TfidfPredictor(Predictor):
    """Log-probabilities of the classes; an option without a demonstration gets `ABSENT`."""

    def __init__(self, support: Sequence[Example], inverse_ridge: float):
        self.support, self.inverse_ridge = tuple(support), inverse_ridge
        self.names = sorted({e.output or "" for e in support})

    def scores(self, queries: Sequence[Example]) -> list[np.ndarray]:
        column = {name: i for i, name in enumerate(self.names)}
        found = self._log_probabilities(queries)
        return [
            np.array([row[column[o]] if o in column else ABSENT for o in q.options or ()])
            for q, row in zip(queries, found, strict=True)
        ]

    def _log_probabilities(self, queries: Sequence[Example]) -> np.ndarray:
        """Return `[queries, classes]`; even where no demonstration has a word."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer()
        words = vectorizer.build_analyzer()
        if len(self.names) < 2 or not any(words(e.text) for e in self.support):
            return np.zeros((len(queries), len(self.names)))
        shots = vectorizer.fit_transform([e.text for e in self.support])
        labels = np.array([self.names.index(e.output or "") for e in self.support])
        return log_probabilities(shots, labels, vectorizer.transform([q.text for q in queries]), self.inverse_ridge)
