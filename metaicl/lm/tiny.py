"""Two-layer random models and a byte-level tokenizer, made in code: no downloads.

For tests and for trying a pipeline out; their answers mean nothing. Their names in configs are `tiny-random` (a causal
language model) and `tiny-encoder` (a sentence encoder).
"""

from __future__ import annotations

import tempfile
from typing import Any

NAME = "tiny-random"
ENCODER = "tiny-encoder"
NAMES = (NAME, ENCODER)


def tiny_tokenizer() -> Any:
    """Return a tokenizer with one token a byte, and an end token."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_object=_bytes("<end>"), eos_token="<end>", pad_token="<end>")


def _bytes(*special: str) -> Any:
    """Return a tokenizer of one token a byte, the special ones first."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate((*special, *letters))}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(special))
    return tokenizer


def tiny_model(seed: int = 0, width: int = 32, layers: int = 2, vocabulary: int = 257) -> Any:
    """Return a random Llama of the given width (a multiple of 4) in float32, the same for the same seed."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=32768,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def tiny_encoder(seed: int = 0, width: int = 32, layers: int = 2) -> Any:
    """Return a random BERT with mean pooling and vectors of length one, by sentence-transformers; the same for the same
    seed."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from tokenizers.processors import TemplateProcessing
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ("[PAD]", "[CLS]", "[SEP]")
    letters = _bytes(*special)
    letters.post_processor = TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    named = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    config = BertConfig(
        vocab_size=256 + len(special),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=4096,
        initializer_range=0.5,  # at the usual 0.02 a text's vector is hardly its own
    )
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng():
        torch.manual_seed(seed)
        BertModel(config).save_pretrained(folder)
        PreTrainedTokenizerFast(tokenizer_object=letters, model_max_length=4096, **named).save_pretrained(folder)
        body = Transformer(folder)
        return SentenceTransformer(modules=[body, Pooling(width), Normalize()], device="cpu")
