"""Products of experts against their members."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from backbones import make_encoder, make_frozen
from hypothesis import given
from hypothesis import strategies as st
from on_toys import TASKS, scores

from metaicl.methods import method_class
from metaicl.methods.baselines.experts import standardised
from metaicl.methods.metric.embedding import ABSENT
from metaicl.testing import draw
from task_suites.core.errors import UserError
from task_suites.formats.prompt_format import PromptFormat

EPISODE = draw(TASKS["options"], k=6, queries=4)
values = st.floats(-50, 50).map(lambda v: round(v, 3))


def product(*experts, backbone=None, **options):
    given = {"experts": list(experts), "expert_options": options}
    return method_class("product_of_experts").build(backbone or make_frozen(), PromptFormat(), given)


@given(raw=st.lists(values, min_size=2, max_size=6), shift=values, scale=st.floats(0.1, 10))
def test_standardised_scores_have_no_place_and_no_scale_and_keep_their_order(raw, shift, scale):
    found = standardised(np.array(raw))
    if len(set(raw)) == 1:
        assert not found.any()
        return
    assert found.mean() == pytest.approx(0, abs=1e-9) and found.std() == pytest.approx(1)
    assert np.allclose(found, standardised(np.array(raw) * scale + shift), atol=1e-6)
    assert [*np.argsort(found, kind="stable")] == [*np.argsort(raw, kind="stable")]


def test_an_option_without_a_demonstration_counts_as_the_lowest_and_one_that_is_known_alone_says_nothing():
    assert standardised(np.array([3.0, ABSENT, 1.0])).tolist() == standardised(np.array([3.0, 1.0, 1.0])).tolist()
    assert not standardised(np.array([ABSENT, -0.2])).any() and not standardised(np.array([ABSENT, ABSENT])).any()


def test_a_product_is_the_sum_of_its_experts_standardised_scores_in_any_order():
    backbone = make_frozen()
    found = scores(product("icl", "knn", backbone=backbone, knn={"neighbours": 3}), EPISODE)
    turned = scores(product("knn", "icl", backbone=backbone, knn={"neighbours": 3}), EPISODE)
    members = [
        scores(method_class(n).build(backbone, PromptFormat(), o), EPISODE)
        for n, o in (("icl", {}), ("knn", {"neighbours": 3}))
    ]
    expected = sum(np.array([standardised(row) for row in rows]) for rows in members)
    assert np.allclose(found, expected, atol=1e-6) and np.allclose(found, turned, atol=1e-9)


def test_an_expert_may_run_on_a_sentence_encoder_whose_name_is_part_of_what_answers_depend_on():
    method = product("icl", "prototypes@tiny-encoder")
    alone = scores(method_class("prototypes").build(make_encoder(), PromptFormat()), EPISODE)
    rest = scores(method.experts[0], EPISODE)
    expected = sum(np.array([standardised(row) for row in rows]) for rows in (rest, alone))
    assert np.allclose(scores(method, EPISODE), expected, atol=1e-5)
    assert method.other_models({"experts": ["icl", "prototypes@tiny-encoder"]}) == ["tiny-encoder"]
    with pytest.raises(UserError, match="icl runs on a causal language model, but tiny-encoder is a sentence encoder"):
        product("icl@tiny-encoder", "knn")


def test_an_expert_that_says_nothing_leaves_the_answers_to_the_other():
    backbone, one_class = make_frozen(), replace(EPISODE, support=EPISODE.support[:1])
    found = scores(product("icl", "knn", backbone=backbone), one_class)
    alone = scores(method_class("icl").build(backbone, PromptFormat()), one_class)
    assert np.allclose(found, [standardised(row) for row in alone], atol=1e-6)


def test_a_task_that_one_expert_does_not_serve_is_refused_with_its_reason():
    assert "options of each example's own" in product("icl", "knn").refusal(TASKS["choice"])
    assert "serves" in product("icl", "zero_shot").refusal(TASKS["text"])
    assert product("icl", "zero_shot").refusal(TASKS["choice"]) is None


@pytest.mark.parametrize(
    ("experts", "message"),
    [
        (["icl"], "experts names icl; expected at least two different methods"),
        (["icl", "icl"], "at least two different methods"),
        (["icl", "metaicl"], r"metaicl cannot be an expert, because it is meta-trained.*--model"),
        (["icl", "finetune"], "finetune cannot be an expert, because it learns weights"),
        (["icl", "knnn"], "no method 'knnn'. Did you mean knn"),
    ],
)
def test_experts_that_cannot_work_are_refused(experts, message):
    with pytest.raises(UserError, match=message):
        product(*experts)


def test_options_of_a_method_that_is_no_expert_are_refused():
    with pytest.raises(UserError, match="options for 'matching', which is not an expert"):
        product("icl", "knn", matching={})
