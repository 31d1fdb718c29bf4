"""Methods on sentence encoders: logistic regression, label names, and all that classify vectors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from backbones import make_encoder, tiny_config
from hypothesis import given
from hypothesis import strategies as st
from on_toys import TASKS, scores
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import euclidean_distances

from examples import examples
from metaicl.lm.encoder import Encoder
from metaicl.methods import METHODS, method_class
from metaicl.methods.base import Method
from metaicl.methods.metric.embedding import ABSENT, EmbeddingMethod
from metaicl.testing import check_method, draw
from metaicl.training.checkpoint import MethodConfig
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat

ON_ENCODERS = [name for name in METHODS if "encoder" in method_class(name).backbones]
QUICK = {"snail": {"slots": 4, "length": 16, "width": 16}}
EPISODE = draw(TASKS["options"], k=8)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return make_encoder()


def built(name: str, encoder: Encoder, **options: object) -> Method:
    return method_class(name).build(encoder, PromptFormat(), options)


@pytest.mark.parametrize("name", [n for n in ON_ENCODERS if n not in ("random", "majority", "setfit")])
def test_a_method_that_runs_on_encoders_keeps_every_promise_there(name):
    check_method(name, QUICK.get(name, {}), model="tiny-encoder")


def test_all_methods_that_classify_vectors_run_on_encoders():
    causal_only = [n for n in METHODS if issubclass(method_class(n), EmbeddingMethod) and n not in ON_ENCODERS]
    assert causal_only == ["setfit_lm"]  # it adapts a causal model


def vectors(encoder: Encoder, *texts: str | None) -> np.ndarray:
    """Those of sentence-transformers itself."""
    return encoder.model.encode(list(texts)).astype(float)


def test_logistic_is_scikit_learns_on_the_vectors_of_sentence_transformers(encoder):
    for ridge in (1.0, 30.0):
        found = scores(built("logistic", encoder, inverse_ridge=ridge), EPISODE)
        head = LogisticRegression(C=ridge, max_iter=1000)
        head.fit(vectors(encoder, *[e.input for e in EPISODE.support]), [e.output for e in EPISODE.support])
        expected = head.predict_log_proba(vectors(encoder, *[q.input for q in EPISODE.queries]))
        assert np.allclose(found, expected, rtol=0, atol=1e-4)


def test_logistic_on_tf_idf_is_scikit_learns(encoder):
    found = scores(built("logistic_tfidf", encoder), EPISODE)
    words = TfidfVectorizer().fit([e.input for e in EPISODE.support])
    head = LogisticRegression().fit(
        words.transform([e.input for e in EPISODE.support]), [e.output for e in EPISODE.support]
    )
    assert np.allclose(found, head.predict_log_proba(words.transform([q.input for q in EPISODE.queries])), atol=1e-6)


def test_texts_without_a_word_are_answered_evenly_by_tf_idf(encoder):
    blank = replace(EPISODE, support=tuple(replace(e, input="!" * i) for i, e in enumerate(EPISODE.support)))
    assert not scores(built("logistic_tfidf", encoder), blank).any()


def test_a_class_mean_with_names_is_the_mean_of_shots_and_name_by_hand(encoder):
    found = scores(built("prototypes_names", encoder), EPISODE)
    means = []
    for label in EPISODE.task.labels:
        texts = [e.input for e in EPISODE.support if e.output == label]
        means.append(vectors(encoder, *texts, label).mean(0))
    asked = vectors(encoder, *[q.input for q in EPISODE.queries])
    assert np.allclose(found, -30.0 * euclidean_distances(asked, means, squared=True), rtol=0, atol=1e-4)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("name", ["prototypes_names", "protonet_names"])
def test_names_without_demonstrations_are_the_names_alone(encoder, name, distance):
    alone = scores(built("label_names", encoder, distance=distance), EPISODE)
    assert np.allclose(scores(built(name, encoder, distance=distance), EPISODE, ()), alone, rtol=0, atol=1e-5)
    assert not (alone == ABSENT).any()


def test_label_names_do_not_look_at_the_demonstrations(encoder):
    method = built("label_names", encoder)
    assert np.array_equal(scores(method, EPISODE), scores(method, EPISODE, ()))


def test_a_class_without_a_demonstration_is_answered_by_its_name(encoder):
    one_class = tuple(e for e in EPISODE.support if e.output == "fruit")
    assert (scores(built("prototypes", encoder), EPISODE, one_class)[:, 1] == ABSENT).all()
    named, alone = (scores(built(name, encoder), EPISODE, one_class) for name in ("prototypes_names", "label_names"))
    assert np.allclose(named[:, 1], alone[:, 1], rtol=0, atol=1e-5)
    assert np.abs(named[:, 0] - alone[:, 0]).max() > 0.1


@pytest.mark.parametrize("name", ["label_names", "prototypes_names", "protonet_names"])
def test_tags_have_no_names(encoder, name):
    with pytest.raises(UserError, match="does not serve task tags"):
        built(name, encoder).adapt(TASKS["tags"], draw(TASKS["tags"]).support)


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


@pytest.mark.parametrize("options", [{"layer": 0.5}, {"twice": True}])
def test_an_option_of_causal_models_is_refused_on_an_encoder(encoder, options):
    with pytest.raises(UserError, match=f"option {next(iter(options))} is given.*the sentence encoder tiny-encoder"):
        built("knn", encoder, **options)


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
    assert (card.backbone.model, card.backbone.weights, base["model_type"]) == ("tiny-encoder", "frozen", "bert")
    again = load_method(tmp_path / "best")
    assert np.allclose(scores(again, EPISODE), scores(method, EPISODE), rtol=0, atol=1e-5)
    assert not np.allclose(scores(again, EPISODE), scores(config.build(), EPISODE), rtol=0, atol=1e-3)
