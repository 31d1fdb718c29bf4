"""What several predictors answer together, and how a predictor's answers come from its scores."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax

from metaicl.methods.predictor import AveragePredictor, Predictor, best_tags, log_mean_share, majority_vote
from task_suites.core.errors import UserError
from task_suites.example import Example

SCORES = arrays(float, (3, 4), elements=st.floats(-50, 50))
QUERY = Example("a fig", None, ("fruit", "tool", "bird", "fish"))


class Fixed(Predictor):
    def __init__(self, scores: np.ndarray, text: str = ""):
        self.fixed, self.text = scores, text

    def scores(self, queries):
        return [self.fixed for _ in queries]

    def generate(self, queries):
        return [self.text for _ in queries]


@given(scores=SCORES, shifts=arrays(float, (3, 1), elements=st.floats(-5, 5)))
def test_the_mean_of_shares_is_the_mean_of_softmaxes_whatever_is_added_to_a_members_scores(scores, shifts):
    found = np.exp(log_mean_share(list(scores)))
    assert found.sum() == pytest.approx(1)
    assert np.allclose(found, softmax(scores, axis=1).mean(0))
    assert np.allclose(found, np.exp(log_mean_share(list(scores + shifts))))


@given(scores=SCORES)
def test_an_average_of_members_answers_by_their_mean_probability(scores):
    average = AveragePredictor([Fixed(row) for row in scores])
    (answer,) = average.answers([QUERY])
    mean = softmax(scores, axis=1).mean(0)
    assert mean[QUERY.options.index(answer.text)] == pytest.approx(mean.max())


@given(answers=st.lists(st.lists(st.sampled_from("abc"), min_size=2, max_size=2), min_size=1, max_size=6))
def test_the_vote_is_a_most_frequent_answer_and_of_equal_ones_the_first_members(answers):
    for query, found in enumerate(majority_vote(answers)):
        given_ = [member[query] for member in answers]
        most = max(Counter(given_).values())
        assert found == next(answer for answer in given_ if given_.count(answer) == most)


def test_each_word_has_its_best_tag_and_o_where_there_is_none_to_choose():
    sentences = [Example("a b", tokens=("a", "b")), Example("c", tokens=("c",))]
    scores = np.array([[0.0, 1.0], [2.0, 1.0], [0.0, 3.0]])
    assert best_tags(["O", "B-X"], scores, sentences) == [("B-X", "O"), ("B-X",)]
    assert best_tags([], np.empty((3, 0)), sentences) == [("O", "O"), ("O",)]


def test_ties_go_to_the_first_option_and_no_query_has_no_answer():
    assert Fixed(np.zeros(4)).answers([QUERY])[0].text == "fruit"
    assert Fixed(np.zeros(4)).answers([]) == []


def test_what_a_predictor_does_not_do_is_an_error_of_its_own():
    for ask in (Predictor().scores, Predictor().generate):
        with pytest.raises(UserError, match="the method does not"):
            ask([QUERY])
