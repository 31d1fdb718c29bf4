"""Estimators whose answers are tags or texts: `FewShotTagger` and `FewShotGenerator`, with the manners of
`FewShotClassifier`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sklearn.utils.validation import check_is_fitted

from metaicl.inference.estimator import FewShotEstimator
from metaicl.inference.validation import as_one_text, as_texts
from task_suites.core.errors import UserError, UserTypeError, counted
from task_suites.example import Example


class FewShotTagger(FewShotEstimator):
    """Tags the words of sentences from a few tagged ones. Its parameters are `FewShotClassifier`'s.

    FewShotTagger().fit([["in", "Rome"]], [["O", "B-city"]]).predict([["to", "Oslo"]])
    """

    def fit(self, X: Iterable[Sequence[str]], y: Iterable[Sequence[str]]) -> FewShotTagger:
        """Learn from sentences, each a list of words, and their BIO tags.

        Raises:
            UserError: a `ValueError`: no sentences, lengths that differ, or a tag that is not BIO.
            UserTypeError: a `TypeError`: a sentence or its tags are not a list of words.
        """
        self._check_parameters()
        sentences, tags = _sentences(X, "X"), _sentences(y, "y")
        self._learn(_tagged(sentences, tags, "fit"))
        self.demonstrations_ = (sentences, tags)
        return self

    def partial_fit(self, X: Iterable[Sequence[str]], y: Iterable[Sequence[str]]) -> FewShotTagger:
        """Add demonstrations to those learned from so far."""
        before: tuple[list[Any], list[Any]] = getattr(self, "demonstrations_", ([], []))
        return self.fit([*before[0], *_sentences(X, "X")], [*before[1], *_sentences(y, "y")])

    def predict(self, X: Iterable[Sequence[str]]) -> list[list[str]]:
        """Return the tags of each sentence's words."""
        check_is_fitted(self, "predictor_")
        queries = [_untagged(words, f"X[{index}]") for index, words in enumerate(_sentences(X, "X"))]
        return [list(answer.text) for answer in self.predictor_.answers(queries)]

    def score(self, X: Iterable[Sequence[str]], y: Iterable[Sequence[str]]) -> float:
        """Return the F1 of spans, as seqeval and the CoNLL shared tasks count it.

        Raises:
            UserError: no sentences, lengths that differ, or a tag that is not BIO.
        """
        from seqeval.metrics import f1_score

        tagged = _tagged(_sentences(X, "X"), _sentences(y, "y"), "score")
        right, found = [list(e.tags or ()) for e in tagged], self.predict([e.tokens or () for e in tagged])
        return float(f1_score(right, found, zero_division=0))

    def _query(self, X: Any) -> Example:
        (words,) = _sentences([X], "X")
        return _untagged(words, "X")


class FewShotGenerator(FewShotEstimator):
    """Answers with free text, from a few examples. Its parameters are `FewShotClassifier`'s.

    FewShotGenerator().fit(["Hund", "Katze"], ["dog", "cat"]).predict(["Pferd"])
    """

    def fit(self, X: Iterable[str], y: Iterable[str]) -> FewShotGenerator:
        """Learn from texts and their answers, each one line.

        Raises:
            UserError: a `ValueError`: no texts, lengths that differ, or an answer of several lines.
            UserTypeError: a `TypeError`: something that is not a text.
        """
        self._check_parameters()
        texts, answers = as_texts(X), _answers(y)
        _check_lengths("fit", len(texts), len(answers), "text", "answer", "answers")
        support = [Example(text, answer) for text, answer in zip(texts, answers, strict=True)]
        for index, example in enumerate(support):
            if wrong := example.problem():
                raise UserError(f"y[{index}]: {wrong[0]}", found=wrong[1], expected=wrong[2])
        self._learn(support)
        self.demonstrations_ = (texts, answers)
        return self

    def partial_fit(self, X: Iterable[str], y: Iterable[str]) -> FewShotGenerator:
        """Add demonstrations to those learned from so far."""
        before: tuple[list[Any], list[Any]] = getattr(self, "demonstrations_", ([], []))
        return self.fit([*before[0], *as_texts(X)], [*before[1], *_answers(y)])

    def predict(self, X: Iterable[str]) -> list[str]:
        """Return an answer to each text."""
        check_is_fitted(self, "predictor_")
        return [str(answer.text) for answer in self.predictor_.answers([Example(text) for text in as_texts(X)])]

    def score(self, X: Iterable[str], y: Iterable[str]) -> float:
        """Return the share of answers that are right to the letter.

        Raises:
            UserError: no texts, or lengths that differ.
        """
        texts, right = as_texts(X), _answers(y)
        _check_lengths("score", len(texts), len(right), "text", "answer", "answers")
        return sum(a == b for a, b in zip(self.predict(texts), right, strict=True)) / len(right)

    def _query(self, X: Any) -> Example:
        return Example(as_one_text(X))


def _answers(y: Any) -> list[str]:
    try:
        return as_texts(y)
    except UserTypeError as error:
        raise UserTypeError(str(error).replace("X[", "y[", 1).replace("X is", "y is", 1)) from None


def _sentences(values: Any, name: str) -> list[list[str]]:
    """Return sentences as lists of words (or of tags)."""
    expected = "a list of sentences, each a list of words"
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise UserTypeError(f"{name} is not a list of sentences", found=f"{values!r:.60}", expected=expected)
    found = []
    for index, words in enumerate(values):
        if isinstance(words, str) or not isinstance(words, Iterable):
            what, fix = f"{name}[{index}] is not a list of words", 'Split it: "in Rome".split().'
            raise UserTypeError(what, found=f"{words!r:.60}", expected="a list", fix=fix)
        found.append(list(words))
        for word in found[-1]:
            if not isinstance(word, str):
                found_word = f"{word!r:.60}"
                raise UserTypeError(
                    f"{name}[{index}] holds something else than words", found=found_word, expected="strings"
                )
    return found


def _tagged(sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[str]], what: str) -> list[Example]:
    """Return tagged sentences as examples; an error names the one that is unsound."""
    _check_lengths(what, len(sentences), len(tags), "sentence", "list of tags", "lists of tags")
    examples = [Example(tokens=tuple(words), tags=tuple(its)) for words, its in zip(sentences, tags, strict=True)]
    for index, example in enumerate(examples):
        if wrong := example.problem():
            raise UserError(f"X[{index}], y[{index}]: {wrong[0]}", found=wrong[1], expected=wrong[2])
    return examples


def _untagged(words: Sequence[str], where: str) -> Example:
    """Return a sentence as a query."""
    query = Example(tokens=tuple(words))
    if wrong := query.problem(answered=False):
        raise UserError(f"{where}: {wrong[0]}", found=wrong[1], expected=wrong[2])
    return query


def _check_lengths(what: str, inputs: int, answers: int, one: str, other: str, others: str) -> None:
    if not inputs or inputs != answers:
        found = f"{counted(inputs, one)} and {answers} {other if answers == 1 else others}"
        raise UserError(f"{what} needs {one}s and as many {others}", found=found)
