"""SetFit-style fine-tuning: its pairs and its loss by hand, and what it changes."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from backbones import make_learnable, tiny_config
from embedded import EPISODE, FORM
from hypothesis import given
from hypothesis import strategies as st

from metaicl.lm.backbone import Backbone
from metaicl.methods.baselines.setfit_lm import SetFitLM, contrastive_loss, pairs
from task_suites.core.errors import UserError


@given(st.lists(st.integers(0, 3), min_size=2, max_size=12))
def test_pairs_are_those_enumerated_and_counted_by_class(labels):
    first, second, same = pairs(torch.tensor(labels))
    expected = list(itertools.combinations(range(len(labels)), 2))
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == expected
    assert int(same.sum()) == sum(math.comb(n, 2) for n in Counter(labels).values())
    assert len(same) == math.comb(len(labels), 2)


def test_the_contrastive_loss_is_zero_for_classes_at_right_angles_and_both_kinds_of_pairs_weigh_the_same():
    labels = torch.tensor([0, 0, 0, 1, 1])
    apart = torch.eye(2, dtype=torch.float64)[labels]
    assert float(contrastive_loss(apart, labels)) == 0.0
    assert float(contrastive_loss(torch.ones(5, 2), labels)) == pytest.approx(0.5)  # all alike: 0 and 1
    assert float(contrastive_loss(apart[:3], labels[:3])) == 0.0  # one class: no other pairs


def test_setfit_lowers_the_contrastive_loss_and_leaves_the_adapters_as_they_are():
    backbone = make_learnable()
    method = SetFitLM(backbone, FORM, SetFitLM.Config(steps=5, lr=1e-2))
    before = {n: p.detach().clone() for n, p in backbone.trainable().items()}
    labels = torch.tensor([["fruit", "tool"].index(e.output) for e in EPISODE.support])
    tuned = method.tuned(EPISODE.support)
    with torch.no_grad():
        first = contrastive_loss(method.embed(EPISODE.support), labels)
        second = contrastive_loss(method.embed(EPISODE.support, tuned), labels)
    assert float(second) < float(first)
    assert all(torch.equal(before[n], p) for n, p in backbone.trainable().items())
    again = method.tuned(EPISODE.support)
    assert all(torch.equal(again[n], p) for n, p in tuned.items())


def test_setfit_without_steps_is_logistic_regression_on_plain_vectors():
    from sklearn.linear_model import LogisticRegression

    backbone = Backbone.load(tiny_config(weights="lora"))
    method, queries = SetFitLM(backbone, FORM, SetFitLM.Config(steps=0)), [q.hidden() for q in EPISODE.queries]
    scores = method.adapt(EPISODE.task, EPISODE.support).scores(queries)
    with torch.no_grad():
        shots, asked = method.embed(EPISODE.support).double().numpy(), method.embed(queries).double().numpy()
    head = LogisticRegression(max_iter=1000).fit(shots, [e.output for e in EPISODE.support])
    expected = head.predict_log_proba(asked)[:, [list(head.classes_).index(o) for o in queries[0].options]]
    assert np.allclose(scores, expected, rtol=0, atol=1e-5)


def test_setfit_wants_weights_to_adapt_below_its_layer(frozen):
    with pytest.raises(UserError, match="setfit_lm needs weights"):
        SetFitLM(frozen, FORM, SetFitLM.Config())
    upper = make_learnable(lora_layers=1)
    assert SetFitLM(upper, FORM, SetFitLM.Config(layer=-1)).embed.layer == 2
    with pytest.raises(UserError, match="below all adapters"):
        SetFitLM(upper, FORM, SetFitLM.Config(layer=1))


def test_setfit_below_its_adapters_runs_once_and_changes_nothing():
    backbone = make_learnable(lora_layers=1)
    method, calls = SetFitLM(backbone, FORM, SetFitLM.Config(steps=3)), []
    backbone.lower.layers[0].mlp.register_forward_hook(lambda *a: calls.append(1))
    tuned = method.tuned(EPISODE.support)
    assert backbone.lower.count == 1 and len(calls) == 1  # one row, of the whole support set
    backbone.lower.count = 0  # the plain way
    plain = method.tuned(EPISODE.support)
    assert len(calls) == 4  # and in each step, and for the vectors at the end
    assert all(torch.equal(tuned[n], p) for n, p in plain.items())
