"""A method that has learned from a support set runs each demonstration once."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from on_toys import built

from metaicl import FewShotClassifier
from metaicl.inference.fitted import FittedMethod
from task_suites.example import Example

TEXTS = ["a fig", "a saw", "a pear", "an axe", "a plum", "a drill"]
LABELS = ["fruit", "tool"] * 3


def tokens_run(classifier: FewShotClassifier) -> int:
    return classifier.predictor_.method.backbone.tokens_run


@pytest.mark.parametrize("method", ["icl", "icl_contextual", "icl_pmi"])
def test_a_query_after_fit_runs_its_own_tokens_only(method):
    classifier = FewShotClassifier("tiny-random", method).fit(TEXTS * 2, LABELS * 2)
    before = tokens_run(classifier)
    classifier.predict(["a lime"])
    assert 0 < tokens_run(classifier) - before < 40  # twelve demonstrations have some 250 bytes


def test_the_demonstrations_are_rendered_once(monkeypatch):
    classifier = FewShotClassifier("tiny-random").fit(TEXTS, LABELS)
    form, rendered = type(classifier.predictor_.method.form), []
    render = form.demonstration
    monkeypatch.setattr(form, "demonstration", lambda *given: rendered.append(given) or render(*given))
    classifier.predict(["a lime", "a chisel"])
    assert not rendered


def test_priors_of_cross_fitting_are_known_after_fit():
    options = {"calibration": "cross_fit"}
    classifier = FewShotClassifier("tiny-random", "icl", method_options=options).fit(TEXTS, LABELS)
    before = tokens_run(classifier)
    found = classifier.predictor_.scores(["a lime"])
    assert tokens_run(classifier) - before < 40
    plain = FewShotClassifier("tiny-random", "icl").fit(TEXTS, LABELS).predictor_.scores(["a lime"])
    assert not np.allclose(found, plain)


def test_partial_fit_runs_the_new_demonstrations_only():
    classifier = FewShotClassifier("tiny-random").fit(TEXTS * 4, LABELS * 4)
    before = tokens_run(classifier)
    classifier.partial_fit(["a lime"], ["fruit"])
    assert tokens_run(classifier) - before < 60


def test_a_stored_copy_holds_no_model_and_answers_the_same():
    fitted = FewShotClassifier("tiny-random", "knn").fit(TEXTS, LABELS).predictor_
    copied = pickle.loads(pickle.dumps(fitted))
    assert copied.state_bytes == 0 and copied.support == fitted.support
    assert np.array_equal(copied.scores(["a lime"]), fitted.scores(["a lime"]))


def test_the_log_probability_of_an_answer_is_among_the_options_and_that_of_tags_is_summed_over_the_words(frozen):
    support = [Example(text, label, ("fruit", "tool")) for text, label in zip(TEXTS, LABELS, strict=True)]
    fitted = FittedMethod.around(built("icl", frozen), support, ("fruit", "tool"))
    query = Example("a lime", None, ("fruit", "tool"))
    shares = [np.exp(fitted.answer_logprob(query, label)) for label in ("fruit", "tool")]
    assert sum(shares) == pytest.approx(1)
    tagged = [Example(tokens=("a", "fig"), tags=("O", "B-X")), Example(tokens=("the", "saw"), tags=("O", "O"))]
    words = FittedMethod.around(built("knn", frozen), tagged)
    each = [np.exp(words.answer_logprob(Example(tokens=("a",)), (tag,))) for tag in ("O", "B-X")]
    assert sum(each) == pytest.approx(1)
    two = words.answer_logprob(Example(tokens=("a", "a")), ("O", "B-X"))
    assert np.exp(two) == pytest.approx(each[0] * each[1], rel=1e-4)
    assert words.answer_logprob(Example(tokens=("a",)), ("B-NEW",)) == -np.inf


def test_no_texts_have_no_scores():
    fitted = FewShotClassifier("tiny-random", "knn").fit(TEXTS, LABELS).predictor_
    assert fitted.scores([]).shape == (0, 2)
