"""Few-shot inference with the scikit-learn face: `fit` takes the demonstrations, `predict` answers.

FewShotClassifier().fit(["Lovely food.", "Cold soup."], ["good", "bad"]).predict(["Friendly waiters."])
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from metaicl.inference.fitted import FittedMethod
from metaicl.inference.opening import MethodSource
from metaicl.inference.validation import as_labels, as_texts, label_texts
from task_suites.core.errors import UserError, UserTypeError, counted
from task_suites.example import Example


class FewShotClassifier(ClassifierMixin, BaseEstimator):
    """Classifies texts from a few labelled ones, as a scikit-learn estimator.

    Classifiers of one model share it in memory, so cross-validation loads it once. A pickled classifier holds the name
    of its model and the demonstrations, not the weights: where it is loaded, the model must be there too.

    Args:
        model: folder of a trained run, or a backbone (registry name, folder, hub name).
        method: for a backbone: a method that needs no meta-training ("finetune", "zero_shot", ...); None is "icl",
            and on a sentence encoder "prototypes_names".
        instruction: what to do; it heads the prompts. A method that does not read it is refused.
        random_state: None learns from the demonstrations in the order given. A seed or a `RandomState` shuffles them
            first, which changes their order in a prompt and what else a method derives from it (the part that
            fine-tuning keeps for early stopping). Nothing else is random: the same demonstrations in the same order
            give the same answers.

    Attributes:
        classes_: the labels, sorted, in the dtype of `y`.
        predictor_: the method that has learned from the demonstrations.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = "smollm2-135m",
        method: str | None = None,
        instruction: str = "",
        random_state: int | np.random.RandomState | None = None,
    ):
        self.model = model
        self.method = method
        self.instruction = instruction
        self.random_state = random_state

    def fit(self, X: Iterable[str], y: Any) -> FewShotClassifier:
        """Learn from texts `X` and their labels `y`; meta-learned weights stay as they are.

        Args:
            X: a list, a NumPy array or a pandas column of texts.
            y: as many labels: strings, integers or booleans, all of one type. A prompt shows them as `str` writes them.

        Raises:
            UserError: a `ValueError`: no texts, lengths that differ, one class only, labels that cannot be told apart
                in a prompt, or a prompt beyond the model's context.
            UserTypeError: a `TypeError`: something that is not a text or a label.
        """
        self._check_parameters()
        texts, labels = as_texts(X), as_labels(y)
        if not texts or len(texts) != len(labels):
            found = f"{counted(len(texts), 'text')} and {counted(len(labels), 'label')}"
            raise UserError("fit needs texts and as many labels", found=found)
        classes, numbers = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise UserError("fit needs at least two classes", found=f"1 class, {classes.tolist()[0]!r}")
        names = label_texts(classes)
        support = [Example(text, names[number], names) for text, number in zip(texts, numbers, strict=True)]
        if self.random_state is not None:
            support = [support[i] for i in check_random_state(self.random_state).permutation(len(support))]
        source = MethodSource.find(os.fspath(self.model), self.method, bool(self.instruction))
        self.predictor_ = FittedMethod(source, support, names, self.instruction)
        self.classes_ = classes
        return self

    def predict(self, X: Iterable[str]) -> np.ndarray:
        """The best class of each text `[texts]`, in the dtype of `classes_`; of equals the first."""
        best = self._scores(X).argmax(1)
        return self.classes_[best]

    def predict_proba(self, X: Iterable[str]) -> np.ndarray:
        """Softmax of the scores over classes `[texts, classes]`, columns as in `classes_`. They are normalised scores,
        not calibrated probabilities."""
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: Iterable[str]) -> np.ndarray:
        """The logarithm of `predict_proba`."""
        return log_softmax(self._scores(X), axis=1)

    def decision_function(self, X: Iterable[str]) -> np.ndarray:
        """Return the method's scores `[texts, classes]`, columns as in `classes_`; of two classes, as everywhere in
        scikit-learn, the second one's score less the first one's, `[texts]`."""
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def _scores(self, X: Iterable[str]) -> np.ndarray:
        check_is_fitted(self, "predictor_")
        return self.predictor_.scores(as_texts(X))

    def _check_parameters(self) -> None:
        for name, types, expected in (
            ("model", (str, os.PathLike), "a name or a folder"),
            ("method", (str, type(None)), "the name of a method, or None"),
            ("instruction", (str,), "a line of text"),
        ):
            if not isinstance(value := getattr(self, name), types):
                raise UserTypeError(f"{name} has a wrong type", found=f"{value!r:.60}", expected=expected)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags
