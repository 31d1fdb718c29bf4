"""What methods made of other methods share: parts of the demonstrations, cross-fitting, standardised scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from backbones import make_frozen
from hypothesis import given
from hypothesis import strategies as st
from on_toys import TASKS, built, scores

from metaicl.methods import method_class
from metaicl.methods.baselines.experts import centred, cross_fitted, parts_of, product, standardised
from metaicl.methods.metric.embedding import ABSENT
from metaicl.testing import draw
from task_suites.core.errors import UserError
from task_suites.formats.prompt_format import PromptFormat

EPISODE = draw(TASKS["options"], k=8, queries=4)


def test_parts_share_out_each_class_whatever_the_order():
    parts = parts_of(EPISODE.support, 4)
    assert sorted(i for part in parts for i in part) == list(range(8)) and [len(part) for part in parts] == [2] * 4
    assert all(len({EPISODE.support[i].output for i in part}) == 2 for part in parts)
    turned = EPISODE.support[::-1]
    contents = {frozenset(turned[i].text for i in part) for part in parts_of(turned, 4)}
    assert contents == {frozenset(EPISODE.support[i].text for i in part) for part in parts}
    assert parts_of(EPISODE.support[:1], 4) == [[0]] and parts_of((), 4) == []


def test_a_demonstration_is_scored_given_the_other_parts_only():
    method = built("knn")
    found = cross_fitted([method], EPISODE.task, EPISODE.support, 4)
    assert len(found) == 8
    expected = []
    for part in parts_of(EPISODE.support, 4):
        others = tuple(e for i, e in enumerate(EPISODE.support) if i not in part)
        asked = tuple(EPISODE.support[i] for i in part)
        expected += [*zip(scores(method, replace(EPISODE, support=others, queries=asked)), asked, strict=True)]
    for one, (row, example) in zip(found, expected, strict=True):
        assert np.allclose(one.scores[0], centred(row), atol=1e-6)
        assert example.options[one.right] == example.output


def test_a_demonstration_whose_class_no_other_part_has_says_nothing():
    fruit, tool = (next(e for e in EPISODE.support if e.output == o) for o in ("fruit", "tool"))
    assert cross_fitted([built("knn")], EPISODE.task, (fruit, tool), 4) == []
    more = (fruit, tool, next(e for e in EPISODE.support if e.output == "tool" and e is not tool))
    assert {one.right for one in cross_fitted([built("knn")], EPISODE.task, more, 4)} == {tool.options.index("tool")}


def test_centred_scores_raise_an_absent_option_to_the_lowest():
    assert np.allclose(centred(np.array([3.0, ABSENT, 0.0])), [2.0, -1.0, -1.0])
    assert not centred(np.array([ABSENT, ABSENT])).any()


values = st.floats(-50, 50).map(lambda v: round(v, 3))


def product_of_experts(*experts, backbone=None, **options):
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
        product_of_experts(*experts)


def test_options_of_a_method_that_is_no_expert_are_refused():
    with pytest.raises(UserError, match="options for 'matching', which is not an expert"):
        product_of_experts("icl", "knn", matching={})


@pytest.mark.parametrize("given_scores", [[0.1, 0.3], [-7.3, 1e-3], [1.1, 2.2, 3.3]])
def test_experts_that_say_the_opposite_prefer_nothing(given_scores):
    one = np.array(given_scores)
    assert np.unique(product([one, 0.7 - 3 * one])).tolist() == [0.0]
