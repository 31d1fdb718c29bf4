"""The label prior from scores that are known: by queries without content, and by the demonstrations."""

from __future__ import annotations

import numpy as np
import pytest

from metaicl.methods.label_prior import blank_prior, blank_queries, check_calibration, cross_fitted_prior, crosses
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat

DIRECT, CHANNEL = PromptFormat(), PromptFormat(channel=True)
AB = ("a", "b")
DEMOS = tuple(Example(str(i), "aab"[i % 3], AB) for i in range(6))


def test_calibration_of_a_channel_prompt_by_empty_queries_is_refused_with_both_ways_out():
    with pytest.raises(UserError) as error:
        check_calibration(CHANNEL, "pmi")
    assert str(error.value) == (
        "calibration 'pmi' scores empty queries, which a channel prompt cannot do. "
        "Take calibration cross_fit or none, or the direct format."
    )
    check_calibration(CHANNEL, "cross_fit")


def test_queries_without_content_have_the_options_and_a_channel_prompt_has_none():
    assert [(q.input, q.output, q.options) for q in blank_queries(DIRECT, "pmi", AB)] == [("", None, AB)]
    assert len(blank_queries(DIRECT, "contextual", AB)) == 3
    assert not blank_queries(DIRECT, "none", AB) and not blank_queries(CHANNEL, "cross_fit", AB)


def test_the_prior_of_one_empty_query_is_its_scores_and_of_several_their_mean_share():
    scores = [np.log([0.2, 0.8]), np.log([0.6, 0.4])]
    assert blank_prior(scores[:1]) is scores[0]
    assert np.allclose(np.exp(blank_prior(scores)), [0.4, 0.6])


def test_only_demonstrations_that_all_have_the_options_give_their_prior():
    assert crosses("cross_fit", AB, DEMOS)
    assert not crosses("pmi", AB, DEMOS) and not crosses("cross_fit", ("b", "a"), DEMOS)
    assert not crosses("cross_fit", AB, (*DEMOS, Example("7", "c", ("a", "c"))))


def test_each_demonstration_is_scored_once_given_those_of_the_other_folds():
    asked: list[tuple[list[str], list[str]]] = []

    def scores_given(support, queries):
        asked.append(([e.input for e in support], [q.input for q in queries]))
        assert all(q.output is None for q in queries)
        return [np.log([0.5, 0.5])] * len(queries)

    prior = cross_fitted_prior(DEMOS, scores_given)
    assert [i for _, fold in asked for i in fold] == list("012345") and len(asked) == 4
    assert all(sorted([*support, *fold]) == list("012345") for support, fold in asked)
    assert np.allclose(prior, np.log([0.5, 0.5]) - np.log([5 / 8, 3 / 8]))  # four and two answers, each and one
    cross_fitted_prior(DEMOS[:1], scores_given)
    assert asked[-1] == (["0"], ["0"])
