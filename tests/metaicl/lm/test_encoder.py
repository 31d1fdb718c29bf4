"""The second kind of backbone: what sentence-transformers gives, whole texts only, and words by their tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from backbones import make_encoder, tiny_config
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from examples import examples
from metaicl.lm import models, tiny
from metaicl.lm.context_length import TooLong
from metaicl.lm.encoder import Encoder, _tokens_of
from metaicl.lm.kinds import load_backbone
from task_suites.core.errors import UserError
from task_suites.core.files import sha256

PUBLISHED = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # model.safetensors of all-MiniLM-L6-v2
TEXTS = st.lists(st.text(max_size=40), min_size=1, max_size=6)


@examples(20)
@given(texts=TEXTS)
def test_a_texts_vector_is_that_of_sentence_transformers_whatever_runs_beside_it(encoder, texts):
    found = encoder.embed(texts)
    assert found.dtype == torch.float32 and found.shape == (len(texts), encoder.width)
    assert np.allclose(found, encoder.model.encode(texts), rtol=0, atol=1e-6)
    turned = torch.flip(encoder.embed(texts[::-1]), [0])
    alone = torch.cat([encoder.embed([text]) for text in texts])
    assert torch.allclose(found, turned, rtol=0, atol=1e-5) and torch.allclose(found, alone, rtol=0, atol=1e-5)


def test_vectors_can_take_part_in_a_graph_and_the_encoders_weights_do_not(encoder):
    linear = torch.nn.Linear(encoder.width, 1)
    linear(encoder.embed(["a text"])).sum().backward()
    assert linear.weight.grad is not None and not encoder.trainable()
    assert not [name for name, p in encoder.named_parameters() if p.requires_grad]


@examples(20)
@given(
    words=st.lists(
        st.text(st.characters(exclude_categories=["Z", "C"], exclude_characters="["), max_size=5),
        min_size=1,
        max_size=6,
    )
)
def test_a_words_vector_is_the_mean_of_the_states_of_its_own_tokens(encoder, words):
    """Without "[": a special token that a text spells out, such as [SEP], is one token to the library."""
    found = encoder.embed_words(words)
    sentence = " ".join(words)
    states = encoder.model.encode([sentence], output_value="token_embeddings", convert_to_numpy=False)[0]
    assert len(found) == len(words) and len(states) == len(sentence.encode()) + 2  # a token a byte, and two around
    start = 1
    for word, vector in zip(words, found, strict=True):
        stop = start + len(word.encode())
        expected = states[start:stop].mean(0) if word else states[0]
        assert torch.allclose(vector, expected, rtol=0, atol=1e-5)
        start = stop + 1


def test_a_token_that_reaches_over_two_words_belongs_to_both():
    assert _tokens_of(["ab", "c"], [(0, 0), (0, 1), (1, 4)]) == [[1, 2], [2]]


def test_a_text_that_does_not_fit_is_refused_where_the_library_would_cut_it(encoder):
    longest = "x" * (encoder.context - 2)  # a token a byte, and two around
    assert encoder.embed([longest]).shape == (1, encoder.width)
    for embed in (encoder.embed, encoder.embed_words):
        with pytest.raises(TooLong, match=r"the (text|sentence) 'xxx.*found 4097 tokens; expected at most 4096"):
            embed([longest + "x"])


def test_a_prompt_that_a_model_puts_before_its_texts_counts(encoder):
    prompted = make_encoder()
    prompted.model.prompts, prompted.model.default_prompt_name = {"query": "query: "}, "query"
    assert prompted.length("text") == encoder.length("query: text")
    assert np.allclose(prompted.embed(["text"]), encoder.embed(["query: text"]), rtol=0, atol=1e-6)


def test_static_embeddings_are_an_encoder_without_words():
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    plain = tiny.tiny_tokenizer().backend_tokenizer
    model = SentenceTransformer(modules=[StaticEmbedding(plain, embedding_dim=8)], device="cpu")
    static = Encoder(model, tiny_config(model="static"))
    assert np.allclose(static.embed(["a text"]), model.encode(["a text"]), rtol=0, atol=1e-6)
    assert len(static.encode("a text")) == static.length("a text") == 6
    with pytest.raises(UserError, match=r"no vectors of words.*does not say which word a token belongs to"):
        static.embed_words(["a"])


def test_a_folder_of_sentence_transformers_is_known_and_opened_as_one(encoder, tmp_path):
    folder = tmp_path / "saved"
    encoder.model.save(str(folder))
    assert models.kind_of(str(folder)) == "encoder"
    again = load_backbone(tiny_config(model=str(folder)))
    assert isinstance(again, Encoder)
    assert torch.allclose(again.embed(["a text"]), encoder.embed(["a text"]), rtol=0, atol=1e-6)


def test_weights_that_are_cut_off_or_not_finite_are_refused(encoder, tmp_path):
    folder = tmp_path / "saved"
    encoder.model.save(str(folder))
    weights = load_file(folder / "model.safetensors")
    name = next(iter(weights))
    save_file(
        {**weights, name: torch.full_like(weights[name], torch.nan)}, folder / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(UserError, match=f"the weights are incomplete or damaged.*1 not finite .*{name}"):
        Encoder.load(tiny_config(model=str(folder)))
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="the weights are incomplete or damaged"):
        Encoder.load(tiny_config(model=str(folder)))


def test_an_encoder_that_lacks_a_tensor_is_refused_by_its_name_and_a_pooler_is_not_looked_for(encoder, tmp_path):
    encoder.model.save(str(tmp_path / "mine"))
    file = next((tmp_path / "mine").rglob("model.safetensors"))
    tensors = load_file(file)
    lost = next(name for name in tensors if name.endswith("attention.self.query.weight"))
    save_file({n: t for n, t in tensors.items() if "pooler" not in n}, file, {"format": "pt"})
    assert Encoder.load(tiny_config(model=str(tmp_path / "mine"))).width == encoder.width
    save_file({n: t for n, t in tensors.items() if n != lost}, file, {"format": "pt"})
    with pytest.raises(UserError, match=f"the weights are incomplete or damaged.*1 missing .*{lost}"):
        Encoder.load(tiny_config(model=str(tmp_path / "mine")))


def test_static_embeddings_are_an_encoder_and_a_file_without_them_is_refused(encoder, tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    module = StaticEmbedding(encoder.tokenizer.backend_tokenizer, embedding_dim=6)
    SentenceTransformer(modules=[module], device="cpu").save(str(tmp_path / "static"))
    again = Encoder.load(tiny_config(model=str(tmp_path / "static")))
    assert again.width == 6 and again.embed(["a text", "another"]).shape == (2, 6)
    file = next((tmp_path / "static").rglob("model.safetensors"))
    tensors = load_file(file)
    save_file({f"{name}_renamed": t for name, t in tensors.items()}, file, {"format": "pt"})
    with pytest.raises(UserError, match="the weights are incomplete or damaged"):
        Encoder.load(tiny_config(model=str(tmp_path / "static")))


def test_a_folder_without_weights_is_one_clear_error(tmp_path):
    (tmp_path / "modules.json").write_text("[]")
    with pytest.raises(UserError, match="cannot be opened as a sentence encoder"):
        Encoder.load(tiny_config(model=str(tmp_path)))


def test_an_encoder_whose_weights_are_to_be_learned_is_refused():
    with pytest.raises(UserError, match=r"weights is lora.*of the sentence encoder tiny-encoder"):
        Encoder.load(tiny_config(model="tiny-encoder", weights="lora"))


def test_the_pulled_encoder_is_the_published_one(real_encoder):
    from sentence_transformers import SentenceTransformer

    folder = models.local_folder(real_encoder)
    assert sha256(folder / "model.safetensors") == PUBLISHED
    encoder = Encoder.load(tiny_config(model=real_encoder))
    assert (encoder.width, encoder.context) == (384, 256)
    texts = ["A man eats.", "A man is eating food.", "Stock prices fell."]
    found = encoder.embed(texts)
    assert np.allclose(found, SentenceTransformer(str(folder), device="cpu").encode(texts), rtol=0, atol=1e-6)
    likeness = found @ found.T
    assert likeness[0, 1] > 0.7 > 0.2 > likeness[0, 2]
    assert encoder.embed_words(["A", "man", "eats", "."]).shape == (4, 384)
