"""What each demonstration does for an answer, as numbers and as a table."""

from __future__ import annotations

import pytest
from scipy.special import log_softmax

from metaicl import FewShotClassifier

TEXTS = ["a fig", "a saw", "a pear", "an axe", "a plum", "a drill"]
LABELS = ["fruit", "tool"] * 3


def logprob(classifier: FewShotClassifier, column: int) -> float:
    return float(log_softmax(classifier.predictor_.scores(["a lime"])[0])[column])


@pytest.mark.parametrize("method", ["icl", "knn", "zero_shot"])
def test_an_explanation_is_the_change_where_each_demonstration_is_left_out(method):
    classifier = FewShotClassifier("tiny-random", method).fit(TEXTS, LABELS)
    found = classifier.explain("a lime")
    column = classifier.classes_.tolist().index(found.answer)
    assert found.logprob == pytest.approx(logprob(classifier, column), abs=1e-5)
    for left_out in (0, 3):
        texts, labels = ([v for i, v in enumerate(of) if i != left_out] for of in (TEXTS, LABELS))
        fewer = logprob(FewShotClassifier("tiny-random", method).fit(texts, labels), column)
        assert found.demonstrations[left_out].change == pytest.approx(found.logprob - fewer, abs=1e-4)
    if method == "zero_shot":
        assert max(abs(one.change) for one in found.demonstrations) < 1e-5
    assert [abs(one.change) for one in found.ranked()] == sorted(
        (abs(d.change) for d in found.demonstrations), reverse=True
    )


def test_the_only_demonstration_of_the_answer_is_needed():
    classifier = FewShotClassifier("tiny-random", "knn").fit(["a fig", "a saw"], ["fruit", "tool"])
    needed = [one.change for one in classifier.explain("a fig").demonstrations]
    assert needed.count(None) == 1 and "needed" in str(classifier.explain("a fig"))


def test_a_notebook_shows_texts_and_no_markup_of_theirs():
    texts = ["<script>alert(1)</script>", "<b>saw</b>", "<i>fig</i>"]
    shown = FewShotClassifier("tiny-random").fit(texts, ["<u>x</u>", "y", "y"]).explain("<img src=x>")._repr_html_()
    assert not any(mark in shown for mark in ("<script", "<u>", "<i>", "<img")) and "&lt;script&gt;" in shown
