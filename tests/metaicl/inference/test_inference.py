"""The scikit-learn face."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from backbones import tiny_config
from scipy.special import softmax
from sklearn.base import clone

from metaicl import FewShotClassifier
from metaicl.inference.opening import open_method, user_task
from metaicl.training.checkpoint import MethodConfig, save_method
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat

TEXTS, LABELS = ["a fig", "a saw", "a pear", "an axe"], ["fruit", "tool", "fruit", "tool"]


@pytest.mark.parametrize("method", [None, "zero_shot", "majority", "finetune"])
def test_the_classifier_answers_with_the_methods_own_scores(method):
    names, queries = ("fruit", "tool"), ["a plum", "a drill"]
    support = [Example(text, label, names) for text, label in zip(TEXTS, LABELS, strict=True)]
    predictor = open_method("tiny-random", method).adapt(user_task(support, names), support)
    scores = np.stack(predictor.scores([Example(text, None, names) for text in queries]))
    classifier = FewShotClassifier("tiny-random", method).fit(TEXTS, LABELS)
    assert classifier.predict(queries).tolist() == [names[column] for column in scores.argmax(1)]
    factor = classifier.reliability_.inverse_temperature
    assert np.allclose(classifier.predict_proba(queries), softmax(factor * scores, axis=1), atol=1e-6)


def test_the_classifier_works_on_a_trained_run(tmp_path):
    config = MethodConfig("metaicl", {}, tiny_config(), PromptFormat())
    method, generator = config.build(), torch.Generator().manual_seed(0)

    def found() -> np.ndarray:
        return FewShotClassifier(str(tmp_path / "run")).fit(TEXTS, LABELS).decision_function(TEXTS)

    save_method(method, config, tmp_path / "run" / "best")
    untrained = found()
    with torch.no_grad():
        for p in method.learned().values():
            p.add_(0.1 * torch.randn(p.shape, generator=generator))
    save_method(method, config, tmp_path / "run" / "best")
    by_best = FewShotClassifier(str(tmp_path / "run" / "best")).fit(TEXTS, LABELS).decision_function(TEXTS)
    assert np.array_equal(found(), by_best)
    assert np.abs(by_best - untrained).max() > 1e-4  # what was learned is read, not only the base model


def test_the_classifier_keeps_scikit_learns_manners():
    classifier = FewShotClassifier("tiny-random", "majority")
    assert clone(classifier).get_params() == classifier.get_params()
    assert classifier.fit(TEXTS, LABELS).score(TEXTS, LABELS) == 0.5
    classifier.fit([*TEXTS, "a lime"], [*LABELS, "lemon"])  # a second fit replaces the first
    assert list(classifier.classes_) == ["fruit", "lemon", "tool"]


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [([], [], "as many labels"), (["a"], ["x", "y"], "1 text and 2 labels"), (["a", "b"], ["x", "x"], "two classes")],
)
def test_fit_refuses_what_cannot_be_learned_from(texts, labels, message):
    with pytest.raises(UserError, match=message):
        FewShotClassifier("tiny-random").fit(texts, labels)
