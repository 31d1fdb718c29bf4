"""Beginnings that are encoded once, continued by whatever text, give the tokens of the whole text."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizer_kinds import CORPUS, KINDS, WHOLE
from tokenizers import AddedToken

from examples import examples
from metaicl.lm import text_encoder
from metaicl.lm.text_encoder import TextEncoder
from metaicl.lm.tiny import tiny_tokenizer
from metaicl.methods.in_context.items import ItemVectors
from task_suites.example import Example


@pytest.fixture(scope="module")
def encoders():
    return {name: TextEncoder(make()) for name, make in KINDS.items()}


WORDS = ("The soup", " was", " cold", ".", " bad", " good", "n't", "'s", "12", "3", "A.", ":", '"', "{")
BLANKS = ("\n", "\n\n", "\nAnswer:", " ", "  ", "\t", "\u2028", "\u00a0")
ODD = ("é", "e\u0301", " \u0301", "日本", "😀", "<end>", "<user>", "▁", "Ġ", "##")
pieces = st.sampled_from((*WORDS, *BLANKS, *ODD))
texts = st.one_of(st.lists(pieces, max_size=14).map("".join), st.text(max_size=12))


@pytest.mark.parametrize("kind", KINDS)
@examples(60)
@given(texts, texts, st.lists(texts, max_size=4))
def test_a_beginning_with_an_ending_has_the_tokens_of_the_whole_text(encoders, kind, beginning, question, answers):
    encoder = encoders[kind]
    start = encoder.beginning(beginning)
    assert start.whole() == encoder.whole(beginning)
    longer = start + question
    assert longer.stable.ids[: len(start.stable)] == start.stable.ids
    for ending in ["", *answers]:
        assert longer.whole(ending) == start.whole(question + ending) == encoder.whole(beginning + question + ending)


ADDED = ("<|turn of user|>", "ab cd", "<m>", "  ")


@pytest.mark.parametrize("kind", ["byte-level", "llama 2", "metaspace, always", "word piece"])
def test_an_added_token_is_one_wherever_a_text_is_parted(kind):
    tokenizer = KINDS[kind]()
    tokenizer.add_tokens([AddedToken(token, lstrip=token == "<m>", rstrip=token == "<m>") for token in ADDED])
    encoder = TextEncoder(tokenizer)
    text = f"One word {ADDED[0]} more, see {ADDED[1]} and  {ADDED[2]}  a blank{ADDED[3]}here."
    whole = encoder.whole(text)
    assert {tokenizer.convert_tokens_to_ids(token) for token in ADDED[:3]} <= set(whole.ids)
    for at in range(len(text)):
        assert encoder.beginning(text[:at]).whole(text[at:]).ids == whole.ids, text[:at]


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_may_be_parted_anywhere(encoders, kind):
    encoder, text = encoders[kind], "Lovely. The soup was cold, bad \nbad The end.\nAnswer: soup was bad"
    whole = encoder.whole(text)
    for at in range(len(text)):
        assert encoder.beginning(text[:at]).whole(text[at:]) == whole, text[:at]


@pytest.mark.parametrize("kind", KINDS)
@examples(30)
@given(texts)
def test_the_ids_of_a_text_are_those_that_the_tokenizer_gives(encoders, kind, text):
    encoder = encoders[kind]
    found, expected = encoder.whole(text).ids, tuple(encoder.tokenizer(text).input_ids)
    begun = text.startswith("<s>") and encoder.begin
    assert found == (expected[1:] if begun else expected)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {*WHOLE, "superwords", "metaspace, no split", "word piece"}))
def test_nearly_all_of_a_prompt_is_encoded_once(encoders, kind):
    prompt = "".join(CORPUS[:2]) * 4
    start = encoders[kind].beginning(prompt)
    assert len(start.stable) > 0.9 * len(encoders[kind].whole(prompt))


def test_llama_2_reads_one_blank_before_an_answer_and_none_of_its_own_at_a_line_start(encoders):
    tokenizer = encoders["llama 2"].tokenizer
    found = encoders["llama 2"].whole("The soup was cold.\nAnswer: bad")
    tokens = tokenizer.convert_ids_to_tokens(list(found.ids))
    assert "".join(tokens).replace("<0x0A>", "\n") == "<s>▁The▁soup▁was▁cold.\nAnswer:▁bad"


def test_the_begin_token_of_a_text_is_not_put_before_it_again(encoders):
    encoder = encoders["llama 2"]
    assert encoder.begin == (1,)
    assert encoder.whole("<s>The soup").ids.count(1) == 1
    assert encoder.beginning("<s>The soup was cold").whole(" today").ids.count(1) == 1


@pytest.mark.parametrize("kind", KINDS)
@examples(30)
@given(texts, texts)
def test_an_answers_tokens_are_those_that_reach_beyond_the_text_before_it(encoders, kind, context, answer):
    encoder = encoders[kind]
    whole, kept = encoder.whole(context + answer), len(context.rstrip())
    first = whole.reaching_beyond(kept)
    assert all(end <= kept for end in whole.ends[:first]) and all(end > kept for end in whole.ends[first:])
    before = encoder.whole(context.rstrip())
    if before and whole.ids[: len(before)] == before.ids and whole.ends[: len(before)] == before.ends:
        assert first == len(before)  # lm-evaluation-harness counts the tokens of the context by itself


def test_without_offsets_the_tokens_and_their_ends_are_the_same(encoders):
    class Slow:
        is_fast = False

        def __init__(self, tokenizer):
            self.tokenizer = tokenizer

        def __call__(self, text, add_special_tokens=True, return_offsets_mapping=False):
            assert not return_offsets_mapping
            return self.tokenizer(text, add_special_tokens=add_special_tokens)

    quick = encoders["byte-level, whole offsets"]
    slow = TextEncoder(Slow(quick.tokenizer))
    for text in ("The soup was cold.\nAnswer: bad", "très bien merci"):
        assert slow.whole(text) == quick.whole(text)
        assert slow.beginning(text).whole(" today") == quick.whole(f"{text} today")


@pytest.mark.parametrize("twice", [False, True])
def test_a_words_state_is_that_of_its_last_token_in_the_whole_sentence(encoders, frozen, twice):
    words = ("Ça", "isn't", "日本語", "😀", "12", "cold")
    for kind in ("byte-level", "llama 2", "metaspace, first", "one token a byte"):
        encoder, vectors = encoders[kind], ItemVectors(frozen, -1, twice)
        frozen_texts, frozen.texts = frozen.texts, encoder
        try:
            ids, ends = vectors._read(Example(tokens=words))
        finally:
            frozen.texts = frozen_texts
        sentence = "".join(f" {word}" for word in words) * (2 if twice else 1)
        expected = tuple(encoder.tokenizer(sentence, add_special_tokens=False).input_ids)
        assert ids[len(vectors.first) :] == expected
        stops = [
            len(encoder.encode("".join(f" {word}" for word in (*words * twice, *words)[:n]))) for n in range(1, 13)
        ]
        assert [end - len(vectors.first) + 1 for end in ends.tolist()] == stops[6 * twice : 6 * twice + 6]


def test_texts_without_end_take_a_bounded_memory_and_the_latest_are_encoded_once(monkeypatch):
    monkeypatch.setattr(text_encoder, "MOST_BYTES", 1 << 20)
    encoder, texts, calls = TextEncoder(tiny_tokenizer()), [f"text {i:05} {'x' * 90}" for i in range(2000)], []
    monkeypatch.setattr(encoder._encode_short, "_encode", lambda text: calls.append(text) or encoder._encode(text))
    tracemalloc.start()
    try:
        for text in texts:
            encoder.encode(text)
        assert tracemalloc.get_traced_memory()[0] < 1.5 * (1 << 20)
    finally:
        tracemalloc.stop()
    assert len(calls) == 2000
    for text in [*texts[-50:], texts[0]]:
        assert encoder.encode(text) == encoder._encode(text)
    assert calls[2000:] == [texts[0]]
