"""Products of experts against their members."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from backbones import make_encoder, make_frozen
from on_toys import TASKS, scores

from metaicl.methods import method_class
from metaicl.methods.baselines.experts import standardised
from metaicl.testing import draw
from task_suites.core.errors import UserError
from task_suites.formats.prompt_format import PromptFormat

EPISODE = draw(TASKS["options"], k=6, queries=4)


def product(*experts, backbone=None, **options):
    given = {"experts": list(experts), "expert_options": options}
    return method_class("product_of_experts").build(backbone or make_frozen(), PromptFormat(), given)


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
