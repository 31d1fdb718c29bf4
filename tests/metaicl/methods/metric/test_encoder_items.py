"""Texts and words as vectors of a sentence encoder."""

from __future__ import annotations

import pytest
import torch
from on_toys import built

from metaicl.methods.in_context.items import ItemVectors
from metaicl.methods.metric.encoder_items import EncoderItems, item_vectors
from task_suites.core.errors import UserError
from task_suites.example import Example


@pytest.mark.parametrize("options", [{"layer": 0.5}, {"twice": True}])
def test_an_option_of_causal_models_is_refused_on_an_encoder(encoder, options):
    with pytest.raises(UserError, match=f"option {next(iter(options))} is given.*the sentence encoder tiny-encoder"):
        built("knn", encoder, **options)


def test_a_vector_is_the_encoders_own_scaled_to_the_root_of_its_width(encoder):
    texts = [Example("a fig"), Example("the longest of them all")]
    raw, scaled = EncoderItems(encoder, raw=True)(texts), EncoderItems(encoder)(texts)
    own = torch.as_tensor(encoder.model.encode([e.text for e in texts]))
    assert torch.allclose(raw, own, atol=1e-5)
    assert torch.allclose(scaled, own * encoder.width**0.5, atol=1e-4)  # the encoder's have length one
    assert torch.allclose(scaled.norm(dim=1), torch.full((2,), encoder.width**0.5))


def test_words_have_a_row_each_example_by_example_and_a_text_of_the_same_letters_has_its_own(encoder):
    sentences = [Example(tokens=("a", "fig")), Example(tokens=("saw",))]
    rows = EncoderItems(encoder)(sentences)
    assert rows.shape == (3, encoder.width)
    assert torch.allclose(rows[:2], EncoderItems(encoder)(sentences[:1]), atol=1e-5)
    assert not torch.allclose(rows[2:], EncoderItems(encoder)([Example("saw")]), atol=1e-2)


def test_each_kind_of_backbone_has_its_own_items(frozen, encoder):
    assert type(item_vectors(frozen, 0.5, True, 0.8)) is ItemVectors
    assert type(item_vectors(encoder, 0.8, False, 0.8)) is EncoderItems
