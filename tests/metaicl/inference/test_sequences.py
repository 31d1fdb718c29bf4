"""The tagger and the generator."""

from __future__ import annotations

import pytest

from metaicl import FewShotClassifier, FewShotGenerator, FewShotTagger
from task_suites.core.errors import UserError, UserTypeError

TEXTS = ["a fig", "a saw", "a pear", "an axe", "a plum", "a drill"]
LABELS = ["fruit", "tool"] * 3
WORDS, TAGS = [["in", "Rome"], ["to", "Oslo", "now"]], [["O", "B-city"], ["O", "B-city", "O"]]


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


@pytest.mark.parametrize("method", ["majority", pytest.param("finetune", marks=pytest.mark.slow)])
def test_what_gives_no_probabilities_of_texts_says_so(method):
    classifier = FewShotClassifier("tiny-random", method).fit(TEXTS, LABELS)
    assert classifier.explain("a lime").answer in ("fruit", "tool")  # of options it does
    with pytest.raises(UserError, match="the method gives no probabilities of texts"):
        FewShotGenerator("tiny-random", "majority").fit(["1", "2"], ["one", "two"]).explain("3")
    with pytest.raises(UserError, match="Nearest neighbours does not serve the task"):  # by its name in tables
        FewShotGenerator("tiny-random", "knn").fit(["1", "2"], ["one", "two"])


@pytest.mark.parametrize(
    ("X", "y", "error", "message"),
    [
        ("in Rome", [["O"]], UserTypeError, "X is not a list of sentences"),
        (["in Rome"], [["O", "O"]], UserTypeError, r"X\[0\] is not a list of words.*Split it"),
        ([["in", 3]], [["O", "O"]], UserTypeError, r"X\[0\] holds something else than words"),
        ([["in"]], [["O"], ["O"]], UserError, "1 sentence and 2 lists of tags"),
        ([], [], UserError, "0 sentences and 0 lists of tags"),
        ([["in", "Rome"]], [["O"]], UserError, r"X\[0\], y\[0\]: "),
        ([["in"]], [["city"]], UserError, r"X\[0\], y\[0\]: "),
    ],
)
def test_sentences_that_cannot_be_learned_from_are_refused_by_position(X, y, error, message):
    with pytest.raises(error, match=message):
        FewShotTagger("tiny-random", "knn").fit(X, y)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        ([["in", "Rome"]], [], "score needs sentences and as many lists of tags; found 1 sentence and 0"),
        ([], [], "score needs sentences"),
        ([["in", "Rome"], ["to"]], [["O", "O"], ["O", "O"]], r"X\[1\], y\[1\]: tokens and tags differ in number"),
        ([["in", "Rome"]], [["O", "city"]], r"X\[0\], y\[0\]: not a BIO tag"),  # seqeval would count it as none
    ],
)
def test_a_score_is_of_as_many_sound_answers(X, y, message):
    tagger = FewShotTagger("tiny-random", "knn").fit([["in", "Rome"]], [["O", "B-city"]])
    with pytest.raises(UserError, match=message):
        tagger.score(X, y)
    assert tagger.score([["in", "Rome"]], [["O", "B-city"]]) == 1
    with pytest.raises(UserError, match=r"X\[1\]: a token is empty"):
        tagger.predict([["in"], [""]])
    with pytest.raises(UserError, match="score needs texts and as many answers"):
        FewShotGenerator("tiny-random").fit(["1"], ["one"]).score(["1", "2"], ["one"])


def test_answers_are_refused_as_answers_and_not_as_texts():
    with pytest.raises(UserTypeError, match=r"y\[1\] is not a text"):
        FewShotGenerator("tiny-random").fit(["1", "2"], ["one", 2])
    with pytest.raises(UserTypeError, match="y is a single string"):
        FewShotGenerator("tiny-random").fit(["1", "2"], "one")
