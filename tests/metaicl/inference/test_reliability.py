"""Probabilities are calibrated on the demonstrations only, and say how far they can be believed; `auto` says why."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from metaicl import FewShotClassifier
from metaicl.inference import reliability
from metaicl.inference.reliability import inverse_temperature, judged
from metaicl.methods.baselines.experts import Scored, centred

TEXTS = ["a plum", "a drill", "a lime", "a hammer", "a pear", "a chisel", "a fig", "a saw"]
LABELS = ["fruit", "tool"] * 4
QUERIES = ["a grape", "a rasp", "a date"]


def seen_by(strength: float, unit: float = 1.0, count: int = 60, options: int = 3) -> list[Scored]:
    """Cross-fitted scores that favour the right option by so much over noise, in some unit."""
    found, rng = [], np.random.default_rng(0)
    for right in rng.integers(options, size=count):
        scores = strength * np.eye(options)[right] + rng.standard_normal(options)
        found.append(Scored([centred(unit * scores)], int(right)))
    return found


def test_the_brier_score_is_its_formula_with_factors_from_other_demonstrations():
    seen = seen_by(1.0, count=5)
    expected = []
    for i, one in enumerate(seen):
        shares = softmax(inverse_temperature(seen[:i] + seen[i + 1 :]) * one.scores[0])
        expected.append(sum((share - (option == one.right)) ** 2 for option, share in enumerate(shares)))
    found = judged(seen)
    assert found.brier == pytest.approx(np.mean(expected)) and found.judged == 5
    assert found.error == pytest.approx(np.std(expected) / np.sqrt(5))


@pytest.mark.parametrize("unit", [0.02, 50.0], ids=["too unsure", "too sure"])
def test_calibration_mends_scores_in_a_wrong_unit(unit):
    plain, found = judged(seen_by(1.5)), judged(seen_by(1.5, unit))
    assert found.brier == pytest.approx(plain.brier, abs=1e-4) and found.brier < found.brier_before - 0.05
    assert found.inverse_temperature * unit == pytest.approx(plain.inverse_temperature, rel=1e-3)


def test_calibrated_confidence_is_the_accuracy_of_new_answers():
    half = seen_by(1.5, 20.0, 2000)
    factor = inverse_temperature(half[:1000])
    confidence = np.mean([softmax(factor * one.scores[0]).max() for one in half[1000:]])
    accuracy = np.mean([one.scores[0].argmax() == one.right for one in half[1000:]])
    before = np.mean([softmax(one.scores[0]).max() for one in half[1000:]])
    assert abs(confidence - accuracy) < 0.05 < 0.15 < abs(before - accuracy)


def test_scores_that_are_worse_than_chance_keep_their_order():
    assert inverse_temperature(seen_by(-5.0)) > 0


@pytest.mark.parametrize("method", ["icl", "prototypes"])
def test_probabilities_keep_the_answers_and_do_not_depend_on_queries_before(method):
    classifier = FewShotClassifier("tiny-random", method).fit(TEXTS, LABELS)
    other = FewShotClassifier("tiny-random", method).fit(TEXTS, LABELS)
    other.predict_proba(QUERIES)
    assert classifier.reliability_ == other.reliability_ and classifier.reliability_.judged == len(TEXTS)
    shares = classifier.predict_proba(QUERIES)
    assert np.allclose(shares, np.concatenate([classifier.predict_proba([text]) for text in QUERIES]), atol=1e-5)
    assert classifier.predict(QUERIES).tolist() == classifier.classes_[shares.argmax(1)].tolist()
    assert f"Brier score {classifier.reliability_.brier:.3f}" in str(classifier.reliability_)


def test_parts_of_the_demonstrations_are_learned_from_once_and_only_for_probabilities(monkeypatch):
    calls, plain = [], reliability.cross_fitted
    monkeypatch.setattr(reliability, "cross_fitted", lambda *given: (calls.append(given), plain(*given))[1])
    classifier = FewShotClassifier("tiny-random").fit(TEXTS, LABELS)
    classifier.predict(QUERIES)
    assert not calls
    classifier.predict_proba(QUERIES)
    classifier.predict_proba(QUERIES)
    assert len(calls) == 1
    classifier.partial_fit(["a kiwi"], ["fruit"]).predict_proba(QUERIES)
    assert len(calls) == 2 and classifier.reliability_.judged == 9


def test_where_nothing_can_be_judged_probabilities_are_the_softmax_of_the_scores():
    classifier = FewShotClassifier("tiny-random").fit(TEXTS[:2], LABELS[:2])
    scores = classifier.predictor_.scores(QUERIES)
    assert np.allclose(classifier.predict_proba(QUERIES), softmax(scores, axis=1))
    assert classifier.reliability_.judged == 0 and "no demonstration could be judged" in str(classifier.reliability_)


def test_auto_answers_as_the_method_that_it_took_and_says_why():
    options = {"candidates": ["prototypes", "icl"], "candidate_options": {}}
    classifier = FewShotClassifier("tiny-random", "auto", method_options=options).fit(TEXTS, LABELS)
    choice = classifier.choice_
    taken = FewShotClassifier("tiny-random", choice.taken).fit(TEXTS, LABELS)
    assert np.allclose(classifier.predictor_.scores(QUERIES), taken.predictor_.scores(QUERIES), atol=1e-5)
    text = str(choice)
    assert text.startswith(f"{choice.taken} was taken") and all(
        f"{name}: log-l" in text for name in options["candidates"]
    )
    assert taken.choice_ is None
    few = FewShotClassifier("tiny-random", "auto", method_options=options).fit(TEXTS[:2], LABELS[:2])
    assert str(few.choice_) == "prototypes was taken as the first of 2: the demonstrations say nothing"
    assert len(classifier.explain("a grape").demonstrations) == len(TEXTS)
