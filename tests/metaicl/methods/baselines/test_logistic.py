"""Logistic regression on vectors and on words is scikit-learn's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from on_toys import TASKS, built, scores
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from metaicl.lm.encoder import Encoder
from metaicl.testing import draw

EPISODE = draw(TASKS["options"], k=8)


def vectors(encoder: Encoder, *texts: str | None) -> np.ndarray:
    """Those of sentence-transformers itself."""
    return encoder.model.encode(list(texts)).astype(float)


def test_logistic_is_scikit_learns_on_the_vectors_of_sentence_transformers(encoder):
    for ridge in (1.0, 30.0):
        found = scores(built("logistic", encoder, inverse_ridge=ridge), EPISODE)
        head = LogisticRegression(C=ridge, max_iter=1000)
        head.fit(vectors(encoder, *[e.input for e in EPISODE.support]), [e.output for e in EPISODE.support])
        expected = head.predict_log_proba(vectors(encoder, *[q.input for q in EPISODE.queries]))
        assert np.allclose(found, expected, rtol=0, atol=1e-4)


def test_logistic_on_tf_idf_is_scikit_learns(encoder):
    found = scores(built("logistic_tfidf", encoder), EPISODE)
    words = TfidfVectorizer().fit([e.input for e in EPISODE.support])
    head = LogisticRegression().fit(
        words.transform([e.input for e in EPISODE.support]), [e.output for e in EPISODE.support]
    )
    assert np.allclose(found, head.predict_log_proba(words.transform([q.input for q in EPISODE.queries])), atol=1e-6)


def test_texts_without_a_word_are_answered_evenly_by_tf_idf(encoder):
    blank = replace(EPISODE, support=tuple(replace(e, input="!" * i) for i, e in enumerate(EPISODE.support)))
    assert not scores(built("logistic_tfidf", encoder), blank).any()
