"""What the estimators share: demonstrations added later, more of them than fit, and what cannot be learned from."""

from __future__ import annotations

import numpy as np
import pytest

from metaicl import FewShotClassifier, FewShotGenerator, FewShotTagger
from metaicl.inference.opening import open_method
from metaicl.methods.scoring import PromptScorer
from task_suites.core.errors import UserError, UserTypeError

TEXTS = ["a fig", "a saw", "a pear", "an axe", "a plum", "a drill"]
LABELS = ["fruit", "tool"] * 3


@pytest.mark.parametrize("method", ["icl", "knn"])
def test_partial_fit_gives_what_fit_gives_on_all_demonstrations(method):
    grown = (
        FewShotClassifier("tiny-random", method).partial_fit(TEXTS[:4], LABELS[:4]).partial_fit(TEXTS[4:], LABELS[4:])
    )
    whole = FewShotClassifier("tiny-random", method).fit(TEXTS, LABELS)
    assert np.allclose(grown.predict_proba(["a lime"]), whole.predict_proba(["a lime"]), atol=1e-6)
    assert grown.demonstrations_[0] == TEXTS


def test_partial_fit_takes_new_classes_and_those_without_a_demonstration():
    classifier = FewShotClassifier("tiny-random").partial_fit(TEXTS[:1], LABELS[:1], classes=["fruit", "tool", "toy"])
    assert classifier.classes_.tolist() == ["fruit", "tool", "toy"]
    classifier.partial_fit(["a cat"], ["animal"])
    assert classifier.classes_.tolist() == ["animal", "fruit", "tool", "toy"]
    with pytest.raises(UserTypeError, match="mixes labels"):
        classifier.partial_fit(["a dog"], [3])


def test_more_demonstrations_than_fit_are_refused_or_selected_as_the_method_is_told(monkeypatch):
    backbone = open_method("tiny-random").backbone
    monkeypatch.setattr(type(backbone), "context", 120)
    with pytest.raises(UserError, match="12 demonstrations does not fit"):
        FewShotClassifier("tiny-random").fit(TEXTS * 2, LABELS * 2)
    seen = []
    fit = PromptScorer.__init__
    monkeypatch.setattr(PromptScorer, "__init__", lambda self, *a, **k: (seen.append(a[3]), fit(self, *a, **k))[1])
    options = {"shown": 2, "selection": "nearest"}
    classifier = FewShotClassifier("tiny-random", method_options=options).fit(TEXTS * 2, LABELS * 2)
    classifier.predict(["an axe here", "a pear there"])
    assert [shown[-1].input for shown in seen] == ["an axe", "a pear"] and {len(shown) for shown in seen} == {2}


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (lambda: FewShotTagger("tiny-random").fit(["in Rome"], [["O"]]), "X[0] is not a list of words"),
        (lambda: FewShotTagger("tiny-random").fit([["in", "Rome"]], [["O"]]), "2 tokens and 1 tags"),
        (lambda: FewShotTagger("tiny-random").fit([["in"]], [["X"]]), "not a BIO tag"),
        (lambda: FewShotTagger("tiny-random").fit([], []), "as many lists of tags"),
        (lambda: FewShotGenerator("tiny-random").fit(["a"], ["b\nc"]), "y[0]: the output has several lines"),
        (lambda: FewShotGenerator("tiny-random").fit(["a"], [1]), "y[0] is not a text"),
        (lambda: FewShotClassifier("tiny-random", method_options={"shwn": 2}).fit(TEXTS, LABELS), "no option 'shwn'"),
        (lambda: FewShotClassifier("tiny-random", method_options=[1]).fit(TEXTS, LABELS), "method_options has a wrong"),
    ],
)
def test_what_cannot_be_learned_from_is_one_clear_error(fit, message):
    with pytest.raises(UserError) as raised:
        fit()
    assert message in str(raised.value)


DTYPES = ("uint8", "int32", "int64", "bool", "float32", "U1", "object")


@pytest.mark.parametrize("dtype", DTYPES)
def test_labels_keep_their_dtype_over_partial_fit_and_save(tmp_path, dtype):
    labels = np.array([1, 0, 1, 0]).astype("U1").astype(dtype) if dtype[0] in "Uo" else np.array([1, 0, 1, 0], dtype)
    whole = FewShotClassifier("tiny-random", "majority").fit(TEXTS[:4], labels)
    parts = FewShotClassifier("tiny-random", "majority")
    parts.partial_fit(TEXTS[:2], labels[:2], classes=labels).partial_fit(TEXTS[2:4], labels[2:])
    more = FewShotClassifier("tiny-random", "majority").partial_fit(TEXTS[:1], labels[:1], classes=labels)
    more.save(tmp_path / "saved")
    for other in (whole, parts, more, FewShotClassifier.load(tmp_path / "saved")):
        assert other.classes_.dtype == other.predict(TEXTS).dtype == labels.dtype
        assert other.classes_.tolist() == np.unique(labels).tolist()
