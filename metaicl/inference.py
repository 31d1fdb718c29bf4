"""Few-shot inference with the scikit-learn face: `fit` takes the demonstrations, `predict` answers.

FewShotClassifier().fit(["Lovely food.", "Cold soup."], ["good", "bad"]).predict(["Friendly waiters."])
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from metaicl.checkpoint import CARD, MethodConfig, load_method
from metaicl.config import BackboneConfig
from metaicl.methods import method_spec
from metaicl.methods.base import Answer, Method
from task_suites.errors import UserError
from task_suites.formats import PromptFormat
from task_suites.sources.local import are_texts, parse_example
from task_suites.task import DEFAULT_METRICS, Example, Task, default_type


def open_method(model: str, method: str | None = None) -> Method:
    """A trained method from its folder (a run's folder or its best/), or a method by name on a plain backbone.

    Raises:
        UserError: no such model or method, a method that needs meta-training, or a checkpoint of another method.
    """
    for folder in (Path(model), Path(model) / "best"):
        if (folder / CARD).is_file():
            if method is not None:
                raise UserError(
                    f"{folder} holds a trained method", found=f"method {method} asked for", fix="Leave it out."
                )
            return load_method(folder)
    name = method or "icl"
    spec = method_spec(name)
    if spec.trained:
        raise UserError(
            f"method {name} is meta-trained before use", fix="Give the folder of a trained run as the model."
        )
    return MethodConfig(name, {}, BackboneConfig(name=model), PromptFormat()).build()


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


def user_task(support: Sequence[Example], labels: tuple[str, ...], instruction: str = "") -> Task:
    """A task around a support set at hand."""
    form = support[0].form
    return Task("user", default_type(form, True), lambda split: support, instruction, labels, DEFAULT_METRICS[form])


def predict_lines(method: Method, demos: Path, inputs: Path, instruction: str = "") -> Iterable[dict[str, Any]]:
    """Answers to the rows of `inputs` (JSON lines without answers) from those of `demos` (with answers).

    Demonstrations with an output and no options are a classification over the outputs that occur when these repeat and
    none has further `accepted` answers, else free text. One dictionary a row: what was given, `answer`, and `scores`
    by option.

    Raises:
        UserError: names file and line of what is wrong.
    """
    support = [parse_example(row, (), where) for row, where in _rows(demos)]
    if not support:
        raise UserError("no demonstrations", where=demos, expected="one JSON object a line, with input and output")
    outputs = sorted({e.output for e in support if e.output is not None})
    labels: tuple[str, ...] = ()
    several = any(e.accepted for e in support)  # a class has one name
    if support[0].form == "text" and 1 < len(outputs) < len(support) and not several:
        labels = tuple(outputs)
        support = [Example(e.input, e.output, labels) for e in support]
    form = support[0].form
    if any(e.form != form for e in support):
        raise UserError("demonstrations of different forms", where=demos, expected="one form in a file")
    queries, given = [], []
    for row, where in _rows(inputs):
        queries.append(_query(row, where, form, labels))
        given.append(row)
    predictor = method.adapt(user_task(support, labels, instruction), support)
    for row, query, answer in zip(given, queries, predictor.answers(queries), strict=True):
        yield {**row, **_answered(query, answer)}


def _answered(query: Example, answer: Answer) -> dict[str, Any]:
    if answer.scores is None:
        return {"answer": list(answer.text) if isinstance(answer.text, tuple) else answer.text}
    return {
        "answer": answer.text,
        "scores": {o: round(float(s), 5) for o, s in zip(query.options or (), answer.scores, strict=True)},
    }


def _query(row: Any, where: str, form: str, labels: tuple[str, ...]) -> Example:
    """A query from a row that has an input (or tokens) and maybe options, and no need of an answer."""
    if not isinstance(row, dict):
        raise UserError("not a JSON object", where=where, found=type(row).__name__)
    needed = "tokens" if form == "tags" else "input"
    value, options = row.get(needed), labels or row.get("options") or ()
    if not value:
        raise UserError(f"{needed} is missing or empty", where=where, found=f"keys {sorted(row)}")
    if not (are_texts(value) if form == "tags" else isinstance(value, str)):
        expected = "a list of strings" if form == "tags" else "a string"
        raise UserError(f"{needed} has a wrong type", where=where, found=repr(value)[:60], expected=expected)
    if form == "tags":
        return Example(tokens=tuple(value))
    if form == "options" and not (are_texts(list(options)) and len(options) > 1):
        raise UserError("options are missing", where=where, expected="as in the demonstrations, a list of choices")
    return Example(value, None, tuple(options) if form == "options" else None)


def _rows(path: Path) -> Iterable[tuple[Any, str]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield json.loads(line), f"{path}:{number}"
            except json.JSONDecodeError as error:
                raise UserError(f"not JSON ({error.msg})", where=f"{path}:{number}", found=repr(line[:60])) from None
