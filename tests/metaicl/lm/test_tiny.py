"""The tiny models are the same for the same seed, do not touch the global generator, and read any text."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from metaicl.lm.tiny import tiny_encoder, tiny_model, tiny_tokenizer

TOKENIZER = tiny_tokenizer()


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_a_text_has_a_token_for_each_byte_and_comes_back(text):
    ids = TOKENIZER(text, add_special_tokens=False).input_ids
    assert len(ids) == len(text.encode())
    assert all(0 < i < 257 for i in ids)  # 0 is the end token
    assert TOKENIZER.decode(ids) == text


def test_weights_follow_the_seed_and_no_global_generator_is_drawn_from():
    before = torch.random.get_rng_state()
    one, same, other = (tiny_model(seed).model.embed_tokens.weight for seed in (1, 1, 2))
    encoder = tiny_encoder(1).encode(["a"])
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert (encoder == tiny_encoder(1).encode(["a"])).all() and (encoder != tiny_encoder(2).encode(["a"])).any()


def test_width_layers_and_vocabulary_are_those_that_are_asked_for():
    config = tiny_model(width=16, layers=3, vocabulary=300).config
    assert (config.hidden_size, config.num_hidden_layers, config.vocab_size) == (16, 3, 300)


def test_a_texts_vector_has_length_one_and_is_its_own():
    one, two = tiny_encoder(width=16).encode(["a fig", "a saw"], convert_to_tensor=True)
    assert one.shape == (16,)
    assert torch.allclose(torch.stack([one, two]).norm(dim=1), torch.ones(2))
    assert one @ two < 0.99
