"""Beginnings that are encoded once, continued by whatever text, give the tokens of the whole text."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from examples import examples
from metaicl.lm import text_encoder
from metaicl.lm.text_encoder import TextEncoder
from metaicl.lm.tiny import tiny_tokenizer
from metaicl.methods.in_context.items import ItemVectors
from task_suites.example import Example

CORPUS = [
    "The soup was cold and the waiter was rude.\nAnswer: bad\n\n",
    "Lovely food, friendly people!\nAnswer: good\n\nWhat a  day... 12345 things, 7 of them new.\n",
    "Premise: a man's dog isn't here.\nHypothesis: it's   away\nAnswer: entailment\n\n\n",
    "Ça va très bien, merci à tous les élèves.\n\n日本語のテキスト 😀\tend\n",
    '<user>\nIs this good?\n\nA. yes\nB. no<end>\n<assistant>\nA<end>\n{"input": "x", "output": "y"}\n',
] * 4
LLAMA_3 = (  # the split of Llama 3, Qwen and their kin
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
SPECIAL = ["<unk>", "<s>", "<end>", "<user>", "<assistant>"]


def trained(
    model, trainer, normalizer=None, pre_tokenizer=None, decoder=None, processor=None
) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(model)
    for name, part in (("normalizer", normalizer), ("pre_tokenizer", pre_tokenizer), ("decoder", decoder)):
        if part is not None:
            setattr(tokenizer, name, part)
    tokenizer.train_from_iterator(CORPUS, trainer)
    if processor is not None:
        tokenizer.post_processor = processor
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="<end>")


def byte_level(pre_tokenizer=None, prefix=False, trim=True):
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=480, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    pre = pre_tokenizer or pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    return trained(models.BPE(), trainer, None, pre, decoders.ByteLevel(), processors.ByteLevel(trim_offsets=trim))


def llama_3():
    split = pre_tokenizers.Split(Regex(LLAMA_3), "isolated")
    return byte_level(
        pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    )


def superwords():
    """Words are not split before the merges, so that tokens reach over blanks."""
    return byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))


def llama_2():
    """A blank before every text, no split, bytes for unknown characters, and a begin token."""
    trainer = trainers.BpeTrainer(vocab_size=560, special_tokens=[*SPECIAL, *BYTES], show_progress=False)
    learned = trained(models.BPE(unk_token="<unk>"), trainer, None, pre_tokenizers.Metaspace())  # merges inside words
    tokenizer = learned.backend_tokenizer
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    options = {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}
    whole = Tokenizer(models.BPE(tokenizer.get_vocab(), [tuple(pair) for pair in merges], **options))
    whole.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    whole.add_special_tokens(SPECIAL)
    begin = {"single": "<s> $A", "pair": "<s> $A <s> $B", "special_tokens": [("<s>", 1)]}
    whole.post_processor = processors.TemplateProcessing(**begin)
    return PreTrainedTokenizerFast(tokenizer_object=whole, unk_token="<unk>", bos_token="<s>", eos_token="<end>")


def metaspace(scheme="always", split=True):
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=SPECIAL, show_progress=False)
    pre = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split)
    return trained(models.BPE(unk_token="<unk>"), trainer, None, pre)


def sentence_piece():
    """Unigram pieces; line breaks become blanks, and runs of blanks one."""
    normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")])
    trainer = trainers.UnigramTrainer(vocab_size=200, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False)
    return trained(models.Unigram(), trainer, normalizer, pre_tokenizers.Metaspace())


def word_piece():
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=SPECIAL, show_progress=False)
    pre = pre_tokenizers.BertPreTokenizer()
    return trained(models.WordPiece(unk_token="<unk>"), trainer, normalizers.BertNormalizer(), pre)


def replacing(pattern):
    """Something of two words is replaced before the text is encoded."""

    def make():
        trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=SPECIAL, show_progress=False)
        pre = pre_tokenizers.Metaspace()
        return trained(models.BPE(unk_token="<unk>"), trainer, normalizers.Replace(pattern, "W"), pre)

    return make


WHOLE = {"words replaced": replacing("soup was"), "a pattern replaced": replacing(Regex(r"d\s+b|bad\s+The"))}
KINDS = {
    **WHOLE,
    "one token a byte": tiny_tokenizer,
    "byte-level": byte_level,
    "byte-level, a blank before every text": lambda: byte_level(prefix=True),
    "byte-level, whole offsets": lambda: byte_level(trim=False),
    "llama 3": llama_3,
    "superwords": superwords,
    "llama 2": llama_2,
    "metaspace, always": metaspace,
    "metaspace, first": lambda: metaspace("first"),
    "metaspace, no split": lambda: metaspace("first", split=False),
    "sentence piece": sentence_piece,
    "word piece": word_piece,
}


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
