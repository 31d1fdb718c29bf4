"""Methods on sentence encoders: logistic regression, label names, and all that classify vectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from backbones import tiny_config
from hypothesis import given
from hypothesis import strategies as st
from on_toys import TASKS, built, scores

from examples import examples
from metaicl.methods import METHODS, method_class
from metaicl.methods.metric.embedding import EmbeddingMethod
from metaicl.testing import check_method, draw
from metaicl.training.checkpoint import MethodConfig
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat

ON_ENCODERS = [name for name in METHODS if "encoder" in method_class(name).backbones]
QUICK = {"snail": {"slots": 4, "length": 16, "width": 16}}
EPISODE = draw(TASKS["options"], k=8)


@pytest.mark.parametrize("name", [n for n in ON_ENCODERS if n not in ("random", "majority", "setfit")])
def test_a_method_that_runs_on_encoders_keeps_every_promise_there(name):
    check_method(name, QUICK.get(name, {}), model="tiny-encoder")


def test_all_methods_that_classify_vectors_run_on_encoders():
    causal_only = [n for n in METHODS if issubclass(method_class(n), EmbeddingMethod) and n not in ON_ENCODERS]
    assert causal_only == ["setfit_lm"]  # it adapts a causal model


ORDERED = [n for n in ON_ENCODERS if n not in ("random", "setfit") and not method_class(n).meta_trained]


@examples(12)
@given(data=st.data())
def test_an_answer_depends_on_no_other_query_and_not_on_their_order(encoder, data):
    name = data.draw(st.sampled_from(ORDERED))
    inputs = data.draw(st.lists(st.text(min_size=1, max_size=20), min_size=2, max_size=5, unique=True))
    queries = [Example(text, None, EPISODE.task.labels) for text in inputs]
    predictor = built(name, encoder).adapt(EPISODE.task, EPISODE.support)
    together = np.array(predictor.scores(queries))
    turned = np.array(predictor.scores(queries[::-1]))[::-1]
    alone = np.array([predictor.scores([query])[0] for query in queries])
    assert np.allclose(together, turned, rtol=0, atol=1e-3) and np.allclose(together, alone, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "model", "message"),
    [
        ("icl", "tiny-encoder", "icl runs on a causal language model, but tiny-encoder is a sentence encoder"),
        ("setfit_lm", "tiny-encoder", "setfit_lm runs on a causal language model"),
        ("logistic", "tiny-random", "logistic runs on a sentence encoder.*--model minilm-l6"),
    ],
)
def test_a_method_on_the_wrong_kind_of_model_is_refused_before_the_model_is_loaded(name, model, message, monkeypatch):
    monkeypatch.setattr("metaicl.training.checkpoint.load_backbone", lambda *given: pytest.fail("loaded"))
    with pytest.raises(UserError, match=message):
        MethodConfig(name, {}, tiny_config(model=model), PromptFormat()).build()


def test_a_backbone_at_hand_of_the_wrong_kind_is_refused(encoder, frozen):
    with pytest.raises(UserError, match="icl runs on a causal language model, but tiny-encoder"):
        built("icl", encoder)
    with pytest.raises(UserError, match="logistic runs on a sentence encoder, but tiny-random"):
        method_class("logistic").build(frozen, PromptFormat())


def test_a_method_meta_trained_on_an_encoder_stands_on_that_encoder(tmp_path):
    from metaicl.training.checkpoint import load_method, read_card, save_method

    config = MethodConfig("protonet_names", {}, tiny_config(model="tiny-encoder"), PromptFormat())
    method = config.build()
    loss, weight = method([draw(TASKS["options"], role="train")])
    (loss / weight).backward()
    with torch.no_grad():
        for p in method.learned().values():
            p.sub_(0.1 * p.grad)
    save_method(method, config, tmp_path / "best")
    card, base = read_card(tmp_path / "best")
    assert (card.backbone.model, card.backbone.weights, base.model_type) == ("tiny-encoder", "frozen", "bert")
    again = load_method(tmp_path / "best")
    assert np.allclose(scores(again, EPISODE), scores(method, EPISODE), rtol=0, atol=1e-5)
    assert not np.allclose(scores(again, EPISODE), scores(config.build(), EPISODE), rtol=0, atol=1e-3)
