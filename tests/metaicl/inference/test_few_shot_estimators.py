"""Tagger and generator, demonstrations added later, explanations, and estimators stored as JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.base import clone

from metaicl import FewShotClassifier, FewShotGenerator, FewShotTagger
from metaicl.inference.opening import open_method
from metaicl.lm import tiny
from metaicl.methods.scoring import PromptScorer
from task_suites.core.errors import UserError, UserTypeError

TEXTS = ["a fig", "a saw", "a pear", "an axe", "a plum", "a drill"]
LABELS = ["fruit", "tool"] * 3
WORDS, TAGS = [["in", "Rome"], ["to", "Oslo", "now"]], [["O", "B-city"], ["O", "B-city", "O"]]


def tokens_run(classifier: FewShotClassifier) -> int:
    return classifier.predictor_.method.backbone.tokens_run


def logprob(classifier: FewShotClassifier, column: int) -> float:
    return float(log_softmax(classifier.predictor_.scores(["a lime"])[0])[column])


@pytest.mark.parametrize("method", ["icl", "icl_contextual", "icl_pmi"])
def test_a_query_after_fit_runs_its_own_tokens_only(method):
    classifier = FewShotClassifier("tiny-random", method).fit(TEXTS * 2, LABELS * 2)
    before = tokens_run(classifier)
    classifier.predict(["a lime"])
    assert 0 < tokens_run(classifier) - before < 40  # twelve demonstrations have some 250 bytes


def test_the_demonstrations_are_rendered_once(monkeypatch):
    classifier = FewShotClassifier("tiny-random").fit(TEXTS, LABELS)
    form = type(classifier.predictor_.method.form)
    monkeypatch.setattr(form, "demonstration", lambda *given: pytest.fail("rendered again"))
    classifier.predict(["a lime", "a chisel"])


def test_priors_of_cross_fitting_are_known_after_fit():
    options = {"calibration": "cross_fit"}
    classifier = FewShotClassifier("tiny-random", "icl", method_options=options).fit(TEXTS, LABELS)
    before = tokens_run(classifier)
    found = classifier.predictor_.scores(["a lime"])
    assert tokens_run(classifier) - before < 40
    plain = FewShotClassifier("tiny-random", "icl").fit(TEXTS, LABELS).predictor_.scores(["a lime"])
    assert not np.allclose(found, plain)


@pytest.mark.parametrize("method", ["icl", "knn"])
def test_partial_fit_gives_what_fit_gives_on_all_demonstrations(method):
    grown = (
        FewShotClassifier("tiny-random", method).partial_fit(TEXTS[:4], LABELS[:4]).partial_fit(TEXTS[4:], LABELS[4:])
    )
    whole = FewShotClassifier("tiny-random", method).fit(TEXTS, LABELS)
    assert np.allclose(grown.predict_proba(["a lime"]), whole.predict_proba(["a lime"]), atol=1e-6)
    assert grown.demonstrations_[0] == TEXTS


def test_partial_fit_runs_the_new_demonstrations_only():
    classifier = FewShotClassifier("tiny-random").fit(TEXTS * 4, LABELS * 4)
    before = tokens_run(classifier)
    classifier.partial_fit(["a lime"], ["fruit"])
    assert tokens_run(classifier) - before < 60


def test_partial_fit_takes_new_classes_and_those_without_a_demonstration():
    classifier = FewShotClassifier("tiny-random").partial_fit(TEXTS[:1], LABELS[:1], classes=["fruit", "tool", "toy"])
    assert classifier.classes_.tolist() == ["fruit", "tool", "toy"]
    classifier.partial_fit(["a cat"], ["animal"])
    assert classifier.classes_.tolist() == ["animal", "fruit", "tool", "toy"]
    with pytest.raises(UserTypeError, match="mixes labels"):
        classifier.partial_fit(["a dog"], [3])


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


def test_methods_of_one_model_share_its_weights():
    one = FewShotClassifier("tiny-random", "icl").fit(TEXTS, LABELS)
    other = FewShotClassifier("tiny-random", "knn").fit(TEXTS, LABELS)
    assert one.predictor_.method.backbone is other.predictor_.method.backbone


@pytest.mark.parametrize("method", ["icl", "knn", "prototypes"])
def test_the_tagger_gives_one_tag_a_word_and_explains_them(method):
    tagger = FewShotTagger("tiny-random", method).fit(WORDS, TAGS)
    found = tagger.predict([["from", "Bonn", "today"], ["Lyon"]])
    assert [len(tags) for tags in found] == [3, 1] and {t for tags in found for t in tags} <= {"O", "B-city"}
    assert 0 <= tagger.score(WORDS, TAGS) <= 1
    assert len(tagger.explain(["from", "Bonn"]).demonstrations) == 2
    assert tagger.partial_fit([["by", "Ulm"]], [["O", "B-city"]]).demonstrations_[0] == [*WORDS, ["by", "Ulm"]]


def test_the_generator_answers_texts_and_explains_them():
    generator = FewShotGenerator("tiny-random").fit(["1", "2"], ["one", "two"])
    (text,) = generator.predict(["3"])
    found = generator.explain("3")
    assert found.answer == text and all(one.change is not None for one in found.demonstrations)
    assert generator.partial_fit(["3"], ["three"]).predictor_.support[-1].output == "three"
    assert generator.score(["3"], [text or "x"]) in (0.0, 1.0)


@pytest.mark.parametrize("method", ["majority", "finetune"])
def test_what_gives_no_probabilities_of_texts_says_so(method):
    classifier = FewShotClassifier("tiny-random", method).fit(TEXTS, LABELS)
    assert classifier.explain("a lime").answer in ("fruit", "tool")  # of options it does
    with pytest.raises(UserError):
        FewShotGenerator("tiny-random", "majority").fit(["1", "2"], ["one", "two"]).explain("3")


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


@pytest.mark.parametrize(
    ("estimator", "given", "queries"),
    [
        (FewShotClassifier("tiny-random", method_options={"shown": 2}), (TEXTS, LABELS), ["a lime"]),
        (FewShotClassifier(tiny.ENCODER), (TEXTS, [3, 7] * 3), ["a lime"]),
        (FewShotTagger("tiny-random", "knn"), (WORDS, TAGS), [["Bonn"]]),
        (FewShotGenerator("tiny-random", random_state=1), (["1", "2"], ["one", "two"]), ["3"]),
    ],
    ids=["classifier", "encoder", "tagger", "generator"],
)
def test_a_saved_estimator_answers_as_before(estimator, given, queries, tmp_path):
    fitted = clone(estimator).fit(*given)
    fitted.save(tmp_path / "saved")
    loaded = type(estimator).load(tmp_path / "saved")
    found, before = loaded.predict(queries), fitted.predict(queries)
    assert list(found) == list(before) and loaded.get_params() == fitted.get_params()
    assert getattr(found, "dtype", None) == getattr(before, "dtype", None)
    assert [path.name for path in (tmp_path / "saved").iterdir()] == ["few_shot.json"]
    with pytest.raises(UserError, match="already exists"):
        fitted.save(tmp_path / "saved")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "not a saved estimator of this version"),
        ({"estimator": "FewShotTagger"}, "another estimator"),
        ({"dtype": "M8[s]"}, "not a saved estimator"),
        ({"dtype": "V8"}, "not a saved estimator"),
        ({"parameters": 3}, "not a saved estimator"),
        ({"fingerprint": "0" * 64}, "the model changed after save"),
    ],
)
def test_a_folder_that_was_changed_is_refused(change, message, tmp_path):
    FewShotClassifier("tiny-random").fit(TEXTS, LABELS).save(tmp_path / "saved")
    path = tmp_path / "saved" / "few_shot.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UserError, match=message):
        FewShotClassifier.load(tmp_path / "saved")
