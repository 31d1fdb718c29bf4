"""Which attention is tried first: on a CPU, the one that is measured to be quicker there."""

from __future__ import annotations

import pytest
import torch
from families import make, wrap
from hypothesis import given
from hypothesis import strategies as st

from metaicl.lm.attention import speed as attention_speed
from metaicl.lm.attention.speed import CLEARLY, quicker, seconds


@given(st.floats(1e-9, 1e3), st.floats(1e-9, 1e3))
def test_the_dense_mask_is_taken_if_and_only_if_it_is_clearly_quicker(tree, dense):
    assert quicker(tree, dense) == ("dense" if dense < CLEARLY * tree else "tree")


@pytest.mark.parametrize("answer", ["tree", "dense"])
def test_a_model_runs_with_the_attention_that_this_machine_is_quicker_at(answer, monkeypatch):
    monkeypatch.setattr(attention_speed, "measured_once", lambda question, answers, measure: answer)
    backbone = wrap(make("llama"))
    assert backbone.attention == answer and not backbone.fallbacks


def test_a_model_that_refuses_the_dense_mask_is_tried_with_the_tree_next(monkeypatch):
    monkeypatch.setattr(attention_speed, "measured_once", lambda question, answers, measure: "dense")
    order = attention_speed.order("cpu", "float32")
    assert order == ("dense", "tree", "plain")


def test_each_precision_is_measured_by_itself(monkeypatch):
    asked = []

    def measured(question, answers, measure):
        asked.append((question, measure))
        return "tree"

    monkeypatch.setattr(attention_speed, "measured_once", measured)
    for precision in ("float32", "bfloat16"):
        attention_speed.order("cpu", precision)
    assert len({question for question, _ in asked}) == len({measure for _, measure in asked}) == 2


def test_an_attention_that_is_asked_for_is_not_measured(monkeypatch):
    monkeypatch.setattr(attention_speed, "order", lambda *_: pytest.fail("it was measured"))
    assert wrap(make("llama"), "dense").attention == "dense"


def test_what_is_timed_is_the_same_attention():
    row = attention_speed._episode(demonstrations=4, queries=2)
    generator = torch.Generator().manual_seed(1)
    heads = (attention_speed.HEADS, attention_speed.KEY_HEADS, attention_speed.KEY_HEADS)
    states = [torch.randn(1, h, len(row.ids), attention_speed.WIDTH, generator=generator) for h in heads]
    tree = attention_speed._tree(row, *states)
    dense = attention_speed._dense(row.mask(torch.float32), *states)
    assert tree.shape == dense.shape and (tree - dense).abs().max() < 1e-5


@pytest.mark.parametrize("kind", ["tree", "dense"])
def test_either_attention_takes_time(kind):
    assert seconds(kind, torch.float32, rounds=1) > 0
