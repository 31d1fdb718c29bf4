"""Few-shot inference with the scikit-learn face: `fit` takes the demonstrations, `predict` answers.

FewShotClassifier().fit(["Lovely food.", "Cold soup."], ["good", "bad"]).predict(["Friendly waiters."])
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy.special import log_softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from metaicl.inference.estimator import FewShotEstimator
from metaicl.inference.reliability import Reliability
from metaicl.inference.saved import Saved
from metaicl.inference.validation import as_labels, as_one_text, as_texts, joined_labels, label_texts
from metaicl.methods.baselines.auto import AutoChoice
from task_suites.core.errors import UserError, counted
from task_suites.example import Example


class FewShotClassifier(ClassifierMixin, FewShotEstimator):
    """Classifies texts from a few labelled ones, as a scikit-learn estimator.

    Classifiers of one model share it in memory, so cross-validation loads it once. A pickled classifier holds the name
    of its model and the demonstrations, not the weights: where it is loaded, the model must be there too.

    Args:
        model: folder of a trained run, or a backbone (registry name, folder, hub name). None is the adapter that ships
            with the package, "smollm2-135m-metaicl"; with a method or an instruction its base model, "smollm2-135m".
        method: for a backbone: a method that needs no meta-training ("finetune", "zero_shot", ...); None is "icl",
            and on a sentence encoder "prototypes_names". "auto" takes one of several by cross-fitting.
        instruction: what to do; it heads the prompts. A method that does not read it is refused.
        random_state: None learns from the demonstrations in the order given. A seed or a `RandomState` shuffles them
            first, which changes their order in a prompt and what else a method derives from it (the part that
            fine-tuning keeps for early stopping). Nothing else is random: the same demonstrations in the same order
            give the same answers.
        method_options: options of the method, such as {"shown": 16, "selection": "nearest"}: where there are more
            demonstrations than fit into a prompt, each query is shown the 16 nearest. Without, a prompt that does not
            fit is refused.

    Attributes:
        classes_: the labels, sorted, in the dtype of `y`.
        predictor_: the method that has learned from the demonstrations.
        demonstrations_: what it was given, in the order given: (texts, labels).
        reliability_: how far `predict_proba` can be believed; worked out when it is first read.
        choice_: which method "auto" took and why; None for another method.
    """

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
        return self._fit(as_texts(X), as_labels(y), None)

    def partial_fit(self, X: Iterable[str], y: Any, classes: Any = None) -> FewShotClassifier:
        """Add demonstrations to those learned from so far. States of a prompt that begins alike are used again.

        Args:
            classes: labels that exist, also those without a demonstration so far. Labels of `y` need not be named.

        Raises:
            UserError: as `fit`.
        """
        texts, labels = as_texts(X), as_labels(y)
        if before := getattr(self, "demonstrations_", None):
            texts, labels = [*before[0], *texts], joined_labels(before[1], labels)
        return self._fit(texts, labels, getattr(self, "classes_", None) if classes is None else as_labels(classes))

    def _fit(self, texts: list[str], labels: np.ndarray, more: np.ndarray | None) -> FewShotClassifier:
        self._check_parameters()
        if not texts or len(texts) != len(labels):
            found = f"{counted(len(texts), 'text')} and {counted(len(labels), 'label')}"
            raise UserError("fit needs texts and as many labels", found=found, expected="one label for each text")
        every = labels if more is None else joined_labels(labels, more)
        classes = np.unique(every)
        if len(classes) < 2:
            fix = "Add an example of another class."
            raise UserError("fit needs at least two classes", found=f"1 class, {classes.tolist()[0]!r}", fix=fix)
        names = label_texts(classes)
        pairs = zip(texts, np.searchsorted(classes, labels), strict=True)
        self._learn([Example(text, names[number], names) for text, number in pairs], names)
        self.classes_ = classes
        self.demonstrations_ = (texts, labels)
        return self

    def predict(self, X: Iterable[str]) -> np.ndarray:
        """The best class of each text `[texts]`, in the dtype of `classes_`; of equals the first."""
        best = self._scores(X).argmax(1)
        return self.classes_[best]

    def predict_proba(self, X: Iterable[str]) -> np.ndarray:
        """Probabilities `[texts, classes]`, columns as in `classes_`: the softmax of the scores at the temperature that
        suits the demonstrations best by cross-fitting (metaicl/inference/reliability.py). The first call learns from
        parts of the demonstrations four times; `reliability_` says how far they can be believed."""
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: Iterable[str]) -> np.ndarray:
        """The logarithm of `predict_proba`."""
        scores = self._scores(X)  # an empty list needs no temperature
        return log_softmax(self.predictor_.reliability.inverse_temperature * scores, axis=1) if len(scores) else scores

    @property
    def reliability_(self) -> Reliability:
        """How far `predict_proba` can be believed: its Brier score on the demonstrations, by cross-fitting."""
        check_is_fitted(self, "predictor_")
        return self.predictor_.reliability

    @property
    def choice_(self) -> AutoChoice | None:
        """Which method `method="auto"` took and why, as text by `str`; None for another method."""
        check_is_fitted(self, "predictor_")
        return self.predictor_.choice

    def decision_function(self, X: Iterable[str]) -> np.ndarray:
        """Return the method's scores `[texts, classes]`, columns as in `classes_`; of two classes, as everywhere in
        scikit-learn, the second one's score less the first one's, `[texts]`."""
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def _scores(self, X: Iterable[str]) -> np.ndarray:
        check_is_fitted(self, "predictor_")
        return self.predictor_.scores(as_texts(X))

    def _more_classes(self) -> list[Any] | None:
        known: list[Any] = self.classes_.tolist()
        return known if set(known) > set(self.demonstrations_[1].tolist()) else None

    def _fit_again(self, saved: Saved) -> None:
        texts, labels = saved.demonstrations
        self._fit(as_texts(texts), as_labels(labels), None if saved.classes is None else as_labels(saved.classes))

    def _reliability_text(self) -> str:
        return str(self.reliability_)

    def _query(self, X: Any) -> Example:
        return Example(as_one_text(X), None, self.predictor_.labels)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags
