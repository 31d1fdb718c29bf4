"""Few-shot inference with the scikit-learn face: `fit` takes the demonstrations, `predict` answers.

FewShotClassifier().fit(["Lovely food.", "Cold soup."], ["good", "bad"]).predict(["Friendly waiters."])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from metaicl.inference.opening import open_method, user_task
from task_suites.errors import UserError
from task_suites.task import Example


class FewShotClassifier(ClassifierMixin, BaseEstimator):
    """Classifies texts from a few labelled ones.

    Args:
        model: folder of a trained run, or a backbone (registry name, folder, hub name).
        method: for a backbone: a method that needs no meta-training ("finetune", "zero_shot", ...); None is "icl".
        instruction: what to do, in a line; used where the format asks for it.
    """

    def __init__(self, model: str = "smollm2-135m", method: str | None = None, instruction: str = ""):
        self.model = model
        self.method = method
        self.instruction = instruction

    def fit(self, X: Sequence[str], y: Sequence[str]) -> FewShotClassifier:
        """Learn from texts `X` and their labels `y`; meta-learned weights stay as they are.

        Raises:
            UserError: no texts, lengths that differ, one class only, or a prompt beyond the model's context.
        """
        texts, labels = list(X), [str(label) for label in y]
        if not texts or len(texts) != len(labels):
            raise UserError("fit wants as many labels as texts", found=f"{len(texts)} texts and {len(labels)} labels")
        self.classes_ = np.array(sorted(set(labels)))
        if len(self.classes_) < 2:
            raise UserError("fit wants at least two classes", found=f"only {labels[0]!r}")
        names = tuple(self.classes_.tolist())
        support = [Example(text, label, names) for text, label in zip(texts, labels, strict=True)]
        self._task = user_task(support, names, self.instruction)
        if not hasattr(self, "_method"):
            self._method = open_method(self.model, self.method)
        self.predictor_ = self._method.adapt(self._task, support)
        return self

    def decision_function(self, X: Sequence[str]) -> np.ndarray:
        """The method's scores `[texts, classes]`, columns as in `classes_`."""
        check_is_fitted(self, "predictor_")
        names = tuple(self.classes_.tolist())
        return np.stack(self.predictor_.scores([Example(text, None, names) for text in X]))

    def predict(self, X: Sequence[str]) -> np.ndarray:
        """The best class of each text."""
        return self.classes_[self.decision_function(X).argmax(1)]

    def predict_proba(self, X: Sequence[str]) -> np.ndarray:
        """Softmax of the scores over classes, `[texts, classes]` (normalised scores, not calibrated probabilities)."""
        scores = self.decision_function(X)
        shifted = np.exp(scores - scores.max(1, keepdims=True))
        return shifted / shifted.sum(1, keepdims=True)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags
