"""What the few-shot estimators share: their parameters, learning from demonstrations, explanations, storage."""

from __future__ import annotations

import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from metaicl.inference.explanation import Explanation, explained
from metaicl.inference.fitted import FittedMethod
from metaicl.inference.hub import add_model, card, fetch, push
from metaicl.inference.opening import MethodSource
from metaicl.inference.saved import Saved, read_saved, write_saved
from task_suites.core.errors import UserError, UserTypeError
from task_suites.example import Example

Estimator = TypeVar("Estimator", bound="FewShotEstimator")
PARAMETERS = (
    ("model", (str, os.PathLike, type(None)), "a name, a folder, or None"),
    ("method", (str, type(None)), "the name of a method, or None"),
    ("instruction", (str,), "a line of text"),
    ("method_options", (Mapping, type(None)), "a mapping of options, or None"),
)


class FewShotEstimator(BaseEstimator, ABC):
    """Learns a task from demonstrations. `FewShotClassifier` documents the parameters.

    Attributes:
        predictor_: the method that has learned from the demonstrations.
        demonstrations_: what it was given, in the order given: (inputs, answers).
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        method: str | None = None,
        instruction: str = "",
        random_state: int | np.random.RandomState | None = None,
        method_options: Mapping[str, Any] | None = None,
    ):
        self.model = model
        self.method = method
        self.instruction = instruction
        self.random_state = random_state
        self.method_options = method_options

    def _learn(self, support: Sequence[Example], labels: tuple[str, ...] = ()) -> None:
        """Adapt the method to a support set, from what it has of the one before where these begin alike."""
        if self.random_state is not None:
            support = [support[i] for i in check_random_state(self.random_state).permutation(len(support))]
        model, options = None if self.model is None else os.fspath(self.model), self.method_options or {}
        source = MethodSource.chosen(model, support[0].form, self.method, self.instruction, options)
        before = getattr(self, "predictor_", None)
        self.predictor_ = FittedMethod(source, support, labels, self.instruction, before)

    def _check_parameters(self) -> None:
        for name, types, expected in PARAMETERS:
            if not isinstance(value := getattr(self, name), types):
                raise UserTypeError(f"{name} has a wrong type", found=f"{value!r:.60}", expected=expected)

    @abstractmethod
    def _query(self, X: Any) -> Example:
        """Return one input as a query."""

    def explain(self, x: Any) -> Explanation:
        """Return the answer to one input with what each demonstration adds to the answer's log-probability,
        which is found by leaving it out. The method learns once for each demonstration.

        Raises:
            UserError: the method gives no probabilities of its answers.
        """
        check_is_fitted(self, "predictor_")
        return explained(self.predictor_, self._query(x))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the parameters and the demonstrations into a folder, as JSON. The model's weights are named there, not
        copied.

        Raises:
            UserError: it is not fitted, the folder is not empty, or a parameter is not a plain value.
        """
        check_is_fitted(self, "predictor_")
        kind, source = type(self).__name__, self.predictor_.source
        write_saved(Path(folder), kind, self.get_params(), self.demonstrations_, source, self._more_classes())

    @classmethod
    def load(cls: type[Estimator], folder: str | os.PathLike[str]) -> Estimator:
        """Return what `save` wrote, fitted again on the model that it names. Nothing in the folder is run.

        Raises:
            UserError: there is nothing of the kind, or the model's folder holds other files by now.
        """
        saved = read_saved(Path(folder), cls.__name__, cls._get_param_names())
        estimator = cls(**saved.parameters)
        estimator._fit_again(saved)
        if estimator.predictor_.source.fingerprint != saved.fingerprint:
            raise UserError(
                "the model changed after save",
                where=estimator.predictor_.source.model,
                found="other files",
                expected="the files that the demonstrations were learned with",
                fix="Put them back, or fit and save again.",
            )
        return estimator

    def push_to_hub(self, repo: str, private: bool = False, token: str | None = None) -> str:
        """Upload the estimator to the Hugging Face hub as OWNER/NAME, with a model card, and return its address.

        The demonstrations lie there for everybody who can read the repository. A trained method's folder is uploaded
        too; a model that has a name is named.

        Raises:
            UserError: `save`'s, the weights are not safetensors, or the hub cannot be written to.
        """
        check_is_fitted(self, "predictor_")
        kind, fitted = type(self).__name__, self.predictor_
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "estimator"
            classes = self._more_classes()
            write_saved(folder, kind, self.get_params(), self.demonstrations_, fitted.source, classes, inside=True)
            add_model(folder, fitted)
            (folder / "README.md").write_text(card(kind, fitted, repo, self._reliability_text()), encoding="utf-8")
            return push(folder, repo, private, token)

    def _more_classes(self) -> list[Any] | None:
        """Return the classes of a classifier that knows more of them than its demonstrations show; else None."""
        return None

    def _fit_again(self, saved: Saved) -> None:
        """Learn from what a folder holds."""
        self.fit(*saved.demonstrations)

    def _reliability_text(self) -> str:
        """Return what is known of how far its probabilities can be believed."""
        return ""

    @classmethod
    def from_pretrained(
        cls: type[Estimator], name: str, revision: str | None = None, token: str | None = None
    ) -> Estimator:
        """Return what `push_to_hub` uploaded as OWNER/NAME, or what `save` wrote into a folder.

        Raises:
            UserError: `load`'s, or the hub cannot be reached.
        """
        return cls.load(fetch(name, revision, token))

    @abstractmethod
    def fit(self: Estimator, X: Any, y: Any) -> Estimator:
        """Learn from inputs and their answers."""
