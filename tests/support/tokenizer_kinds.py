"""Tokenizers of every kind, trained on a few texts: byte-level, Metaspace, SentencePiece, WordPiece and others."""

from __future__ import annotations

import json

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from metaicl.lm.tiny import tiny_tokenizer

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
