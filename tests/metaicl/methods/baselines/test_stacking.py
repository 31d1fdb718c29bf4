"""Stacking: its weights are those of a conditional logit, and its special cases are its members and their product."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from backbones import make_frozen
from on_toys import TASKS, built, scores
from scipy.special import log_softmax

from metaicl.methods.baselines.experts import Scored, centred, cross_fitted, standardised
from metaicl.methods.baselines.stacking import StackedPredictor, spreads_of, stacked_weights
from metaicl.methods.predictor import Predictor
from metaicl.testing import draw
from task_suites.core.errors import UserError

EPISODE = draw(TASKS["options"], k=8, queries=4)


def seen_by(*experts, options=3, count=200):
    """Demonstrations that experts score, each a function of a generator and a one-hot of the right option."""
    rng = np.random.default_rng(0)
    right = rng.integers(options, size=count)
    return [Scored([centred(expert(rng, np.eye(options)[r])) for expert in experts], int(r)) for r in right]


def knowing(noise):
    return lambda rng, hot: 2 * hot + noise * rng.standard_normal(len(hot))


def guessing(rng, hot):
    return rng.standard_normal(len(hot))


def contrary(rng, hot):
    return -hot + 0.1 * rng.standard_normal(len(hot))


# -- the weights -------------------------------------------------------------------------------------------------


def loss(seen, spreads, weights, ridge):
    logs = [log_softmax(weights @ (np.stack(s.scores) / spreads[:, None]))[s.right] for s in seen]
    return -sum(logs) + ridge / 2 * np.square(weights - 1).sum()


def test_no_other_weights_have_a_smaller_penalised_loss():
    seen = seen_by(knowing(1.0), knowing(3.0), guessing, count=30)
    spreads = spreads_of(seen)
    found = stacked_weights(seen, spreads, 0.5)
    least, rng = loss(seen, spreads, found, 0.5), np.random.default_rng(1)
    for scale in (0.01, 0.1, 1.0) * 60:
        other = np.maximum(0, found + rng.normal(scale=scale, size=3))
        assert loss(seen, spreads, other, 0.5) >= least - 1e-9


def test_with_two_options_and_no_ridge_they_are_those_of_scikit_learns_logistic_regression():
    from sklearn.linear_model import LogisticRegression

    seen = seen_by(knowing(2.0), knowing(4.0), options=2, count=100)
    spreads = spreads_of(seen)
    features = np.array([np.stack(s.scores) / spreads[:, None] for s in seen])
    differences, second = features[:, :, 1] - features[:, :, 0], np.array([s.right for s in seen])
    plain = LogisticRegression(C=1e8, fit_intercept=False, tol=1e-10, max_iter=1000).fit(differences, second)
    assert (plain.coef_ > 0).all()
    assert np.allclose(stacked_weights(seen, spreads, 1e-8), plain.coef_[0], rtol=1e-4)


def test_equal_experts_have_equal_weights_and_answer_as_one():
    one = seen_by(knowing(2.0), count=40)
    two = [Scored([*s.scores, *s.scores], s.right) for s in one]
    weights = stacked_weights(two, spreads_of(two), 1e-6)
    single = stacked_weights(one, spreads_of(one), 1e-6)
    assert weights[0] == pytest.approx(weights[1], rel=1e-6)
    assert weights.sum() == pytest.approx(single[0], rel=1e-3)  # together they say what one says


def test_an_expert_that_says_the_contrary_has_no_weight_and_one_that_guesses_hardly_any():
    seen = seen_by(knowing(1.0), contrary, guessing, count=2000)
    weights = stacked_weights(seen, spreads_of(seen), 1e-3)
    assert weights[1] == 0.0 and weights[2] < 0.15 * weights[0]


def test_the_better_expert_has_the_larger_weight_and_a_strong_ridge_makes_all_one():
    seen = seen_by(knowing(1.0), knowing(4.0), count=500)
    free, held = (stacked_weights(seen, spreads_of(seen), ridge) for ridge in (1e-3, 1e9))
    assert free[0] > 2 * free[1] > 0 and np.allclose(held, 1, atol=1e-5)


def test_the_unit_of_an_experts_scores_does_not_matter():
    seen = seen_by(knowing(1.0), knowing(2.0), count=50)
    other = [Scored([1000 * s.scores[0], s.scores[1]], s.right) for s in seen]
    spreads, others = spreads_of(seen), spreads_of(other)
    assert np.allclose(stacked_weights(seen, spreads, 1.0), stacked_weights(other, others, 1.0), rtol=1e-6)
    assert others[0] == pytest.approx(1000 * spreads[0])


def test_options_may_differ_in_number_and_an_expert_may_say_nothing():
    seen = [*seen_by(knowing(1.0), guessing, options=2, count=20), *seen_by(knowing(1.0), guessing, count=20)]
    silent = [Scored([s.scores[0], 0 * s.scores[0]], s.right) for s in seen]
    weights = stacked_weights(silent, spreads_of(silent), 0.5)
    assert weights[0] > 1 and weights[1] == pytest.approx(1.0) and spreads_of(silent)[1] == 1.0


# -- the method --------------------------------------------------------------------------------------------------


class Fixed(Predictor):
    def __init__(self, *rows):
        self.rows = rows

    def scores(self, queries):
        return [np.array(row) for row in self.rows]


def test_one_expert_gives_its_own_answers():
    rows = np.random.default_rng(0).standard_normal((5, 4))
    found = StackedPredictor([Fixed(*rows)], np.array([0.3]), np.array([1.7])).scores([None] * 5)
    assert np.allclose(found, 1.7 / 0.3 * (rows - rows.mean(1, keepdims=True)))
    assert [f.argmax() for f in found] == [*rows.argmax(1)]


def test_scores_are_the_weighted_sum_of_the_experts_over_their_spreads():
    backbone = make_frozen()
    names = ["icl", "knn"]
    method = built("stacking", backbone, experts=names, expert_options={})
    seen = cross_fitted(method.experts, EPISODE.task, EPISODE.support, 4)
    spreads = spreads_of(seen)
    weights = stacked_weights(seen, spreads, 10.0)
    rows = [scores(built(name, backbone), EPISODE) for name in names]
    each = [w / s * np.array([centred(r) for r in row]) for w, s, row in zip(weights, spreads, rows, strict=True)]
    assert np.allclose(scores(method, EPISODE), sum(each), atol=1e-5)
    predictor = method.adapt(EPISODE.task, EPISODE.support)
    assert np.allclose(predictor.weights, weights, atol=1e-6) and np.allclose(predictor.spreads, spreads, atol=1e-6)


def test_where_demonstrations_say_nothing_it_is_a_product_of_experts():
    backbone, e = make_frozen(), replace(EPISODE, support=EPISODE.support[:1])
    stacked, product = (
        built(name, backbone, experts=["icl", "knn"], expert_options={}) for name in ("stacking", "product_of_experts")
    )
    assert np.allclose(scores(stacked, e), scores(product, e), atol=1e-6)
    assert np.allclose(scores(product, e)[0], sum(standardised(scores(x, e)[0]) for x in product.experts), atol=1e-5)


def test_options_of_its_own_are_checked():
    with pytest.raises(UserError, match="folds must be at least 2, but is 1"):
        built("stacking", folds=1)
    with pytest.raises(UserError, match="ridge must be above 0"):
        built("stacking", ridge=0)
