"""`auto`: what cross-fitting says of candidates, and which one is taken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from backbones import make_encoder, make_frozen
from on_toys import TASKS, scores
from scipy.special import log_softmax

from metaicl.methods import method_class
from metaicl.methods.baselines.auto import Auto, judged, listed
from metaicl.methods.baselines.experts import Scored, centred, cross_fitted
from metaicl.methods.predictor import Predictor
from metaicl.testing import draw
from task_suites.core.errors import UserError
from task_suites.formats.prompt_format import PromptFormat

EPISODE = draw(TASKS["options"], k=8, queries=4)


def auto(backbone=None, **options) -> Auto:
    return Auto.build(backbone or make_frozen(), PromptFormat(), options)


def seen_by(*strengths, count=60, options=3):
    """Demonstrations, by experts whose scores favour the right option by so much over noise."""
    found, rng = [], np.random.default_rng(0)
    for right in rng.integers(options, size=count):
        hot = np.eye(options)[right]
        found.append(Scored([centred(s * hot + rng.standard_normal(options)) for s in strengths], int(right)))
    return found


def test_the_candidate_that_predicts_best_has_the_highest_log_likelihood_and_accuracy():
    good, bad = judged(["good", "bad"], ["bad", "good"], seen_by(0.5, 4.0), 1.0)
    assert good.log_likelihood > bad.log_likelihood and good.accuracy > bad.accuracy + 0.2
    assert good.worse_by == good.error == 0.0
    assert bad.worse_by == pytest.approx(good.log_likelihood - bad.log_likelihood) and bad.worse_by > bad.error > 0


def test_the_unit_of_a_candidates_scores_does_not_matter():
    seen = seen_by(1.0, 2.0)
    scaled = [Scored([1e4 * one.scores[0], 1e-4 * one.scores[1]], one.right) for one in seen]
    for a, b in zip(
        judged(["a", "b"], ["a", "b"], seen, 1.0), judged(["a", "b"], ["a", "b"], scaled, 1.0), strict=True
    ):
        assert a.log_likelihood == pytest.approx(b.log_likelihood, rel=1e-6) and a.accuracy == b.accuracy


def test_a_product_is_judged_by_its_own_scores_and_beats_members_that_err_apart():
    one, other, product = judged(["a", "b", "a+b"], ["a", "b"], seen_by(1.5, 1.5, count=400), 1.0)
    assert product.log_likelihood > max(one.log_likelihood, other.log_likelihood)


def test_scores_that_say_nothing_have_the_log_likelihood_of_a_guess():
    silent = [Scored([np.zeros(4)], 1)] * 3
    (found,) = judged(["a"], ["a"], silent, 1.0)
    assert found.log_likelihood == pytest.approx(log_softmax(np.zeros(4))[0])


class Knowing(Predictor):
    """It knows the answers of the toy task, or says the contrary of what it knows."""

    def __init__(self, truth, sign):
        self.truth, self.sign = truth, sign

    def scores(self, queries):
        return [np.array([self.sign * float(o == self.truth[q.text]) for o in q.options]) for q in queries]


@pytest.fixture
def two(monkeypatch):
    """`auto` over knn, which is made to be wrong, and icl, which is made to be right."""
    truth = {e.text: e.output for e in (*EPISODE.support, *EPISODE.queries)}
    method = auto(candidates=["knn", "icl"])
    monkeypatch.setattr(method.experts["icl"], "adapt", lambda task, support: Knowing(truth, 1))
    monkeypatch.setattr(method.experts["knn"], "adapt", lambda task, support: Knowing(truth, -1))
    return method


def test_the_best_is_taken_and_the_predictor_says_why(two):
    predictor = two.adapt(EPISODE.task, EPISODE.support)
    assert predictor.chosen == "icl" and [e.candidate for e in predictor.evidence] == ["knn", "icl"]
    assert [e.accuracy for e in predictor.evidence] == [0.0, 1.0]
    queries = [q.hidden() for q in EPISODE.queries]
    assert [a.text for a in predictor.answers(queries)] == [q.output for q in EPISODE.queries]
    assert str(predictor.evidence[1]).startswith("icl: log-likelihood -0.")


def test_where_demonstrations_say_nothing_the_first_is_taken(two):
    for support in ((), EPISODE.support[:1]):
        predictor = two.adapt(EPISODE.task, support)
        assert predictor.chosen == "knn" and np.isnan(predictor.evidence[0].accuracy)


def test_of_candidates_that_cannot_be_told_apart_the_first_is_taken():
    for names in (["knn", "prototypes"], ["prototypes", "knn"]):  # alike on a toy task
        method = auto(candidates=names)
        method.experts = dict.fromkeys(names, method.experts["knn"])
        assert method.adapt(EPISODE.task, EPISODE.support).chosen == names[0]


def test_it_answers_as_the_candidate_that_it_takes():
    backbone = make_frozen()
    method = auto(backbone, candidates=["icl+knn", "knn"], candidate_options={})
    predictor = method.adapt(EPISODE.task, EPISODE.support)
    alone = method_class("knn").build(backbone, PromptFormat())
    both = method_class("product_of_experts").build(
        backbone, PromptFormat(), {"experts": ["icl", "knn"], "expert_options": {}}
    )
    expected = {"knn": alone, "icl+knn": both}[predictor.chosen]
    assert np.allclose(scores(method, EPISODE), scores(expected, EPISODE), atol=1e-5)
    evidence = judged(
        method.candidates, ["icl", "knn"], cross_fitted(both.experts, EPISODE.task, EPISODE.support, 4), 1.0
    )
    assert np.allclose([e.log_likelihood for e in evidence], [e.log_likelihood for e in predictor.evidence], atol=1e-5)


def test_a_candidate_that_does_not_serve_a_task_is_left_out_there():
    method, e = auto(candidates=["knn", "icl"]), draw(TASKS["choice"])
    predictor = method.adapt(e.task, e.support)
    assert predictor.chosen == "icl" and [x.candidate for x in predictor.evidence] == ["icl"]
    assert "options of each example's own" in auto(candidates=["knn"]).refusal(TASKS["choice"])


def test_the_lists_name_methods_that_run_on_what_they_are_for():
    for budget in ("low", "high"):
        for given in ({}, {"encoder": "tiny-encoder"}):
            method = auto(budget=budget, **given)
            assert method.candidates[0] == "icl+prototypes_names" + ("@tiny-encoder" if given else "")
            assert method.reads_prompts and not method.order_free
        method = auto(make_encoder(), budget=budget)
        assert method.candidates[0] == "prototypes_names" and not method.reads_prompts and method.order_free
    low, high = (set(listed(Auto.Config(budget=budget))) for budget in ("low", "high"))
    assert low < high
    assert Auto.other_models({"encoder": "x", "candidates": ["icl+knn@y"]}) == ["y", "x"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"candidates": []}, "candidates is empty"),
        ({"candidates": ["icl", "metaicl"]}, "metaicl cannot be an expert, because it is meta-trained"),
        ({"candidates": ["icl", "knnn"]}, "no method 'knnn'. Did you mean knn"),
        ({"candidates": ["icl"], "candidate_options": {"knn": {}}}, "options for 'knn', which is not a candidate"),
        ({"budget": "some"}, "budget must be 'low' or 'high'"),
    ],
)
def test_candidates_that_cannot_work_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        auto(**options)


def test_the_same_demonstrations_in_another_order_give_the_same_choice_on_vectors():
    method = auto(make_encoder(), budget="high")
    turned = replace(EPISODE, support=EPISODE.support[::-1])
    first, second = (method.adapt(e.task, e.support) for e in (EPISODE, turned))
    assert first.chosen == second.chosen
    assert np.allclose([e.log_likelihood for e in first.evidence], [e.log_likelihood for e in second.evidence])
