"""A Llama-architecture model and its tokenizer as one GGUF file, which llama.cpp and what is built on it load.

Written with the `gguf` package, then read back: each tensor and token must be what was meant. llama.cpp rotates
neighbouring components of a query or key, transformers those half a head apart, so the rows of these two projections
are permuted, as in llama.cpp's own converter.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from task_suites.core.errors import UserError

PLAIN = "Export a folder (without --gguf) and convert it with llama.cpp's convert_hf_to_gguf.py."
TYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}  # of matrices; vectors are float32
NORMAL, CONTROL, UNUSED = 1, 3, 5  # GGUF's kinds of token


def write_gguf(model: Any, tokenizer: Any, path: Path, dtype: str, name: str) -> None:
    """Write a model and its tokenizer into a new file, and check it.

    Args:
        dtype: of the matrices: float32, float16 or bfloat16.
        name: what the file calls the model.

    Raises:
        UserError: the model or its tokenizer is of a kind that this does not write, or the file came out wrong.
    """
    from gguf import GGUFWriter

    words, tensors = _vocabulary(model, tokenizer), list(_tensors(model))
    writer = GGUFWriter(path, "llama")
    try:
        writer.add_name(name)
        _add_shape(writer, model.config)
        _add_vocabulary(writer, tokenizer, words)
        writer.add_file_type({"float32": 0, "float16": 1, "bfloat16": 32}[dtype])
        for key, tensor in tensors:
            writer.add_tensor(key, *_stored(tensor, dtype))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()
    _check(path, tensors, dtype, words)


def refusal(model: Any, tokenizer: Any) -> str | None:
    """Why a model cannot be written, or None where it can."""
    config = model.config
    rotation = getattr(config, "rope_parameters", None) or {}
    biased = getattr(config, "attention_bias", False) or getattr(config, "mlp_bias", False)
    if config.model_type != "llama" or biased or getattr(config, "hidden_act", "") != "silu":
        return f"its architecture is {config.model_type}{' with biases' if biased else ''}, not plain Llama"
    if rotation.get("rope_type", "default") != "default":
        return f"its positions are scaled ({rotation['rope_type']})"
    if not tokenizer.is_fast:
        return "its tokenizer is not a fast one"
    spec = json.loads(tokenizer.backend_tokenizer.to_str())
    if spec["model"]["type"] != "BPE" or spec["model"].get("byte_fallback") or spec["normalizer"]:
        return "its tokenizer is not a byte-level BPE"
    return None if _splitting(spec["pre_tokenizer"]) else "its tokenizer splits texts in a way that is not known here"


def _splitting(spec: Any) -> str | None:
    """Return llama.cpp's name for how a tokenizer splits texts; None where it is not known."""
    parts = spec["pretokenizers"] if spec and spec["type"] == "Sequence" else [spec]
    kinds = [part["type"] if part else None for part in parts]
    if kinds[-1:] != ["ByteLevel"] or parts[-1].get("add_prefix_space") or not parts[-1].get("use_regex", True):
        return None
    if kinds == ["ByteLevel"]:
        return "gpt-2"
    return "smollm" if kinds[:-1] == ["Digits"] and parts[0].get("individual_digits") else None


def _vocabulary(model: Any, tokenizer: Any) -> list[tuple[str, int]]:
    """Return each token with its kind; the embeddings beyond the tokenizer's tokens are unused.

    Raises:
        UserError: `refusal` says why.
    """
    if reason := refusal(model, tokenizer):
        raise UserError(f"this model cannot be written as GGUF: {reason}", expected="a Llama", fix=PLAIN)
    by_id = {i: token for token, i in tokenizer.get_vocab().items()}
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    count = model.config.vocab_size
    return [
        (by_id.get(i, f"[PAD{i}]"), CONTROL if i in special else NORMAL if i in by_id else UNUSED) for i in range(count)
    ]


def _add_shape(writer: Any, config: Any) -> None:
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)
    writer.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)


def _add_vocabulary(writer: Any, tokenizer: Any, words: list[tuple[str, int]]) -> None:
    spec = json.loads(tokenizer.backend_tokenizer.to_str())
    merges = spec["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_splitting(spec["pre_tokenizer"]))
    writer.add_token_list([token for token, _ in words])
    writer.add_token_types([kind for _, kind in words])
    if merges:  # an empty list cannot be stored
        writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    for kind in ("bos", "eos", "pad", "unk"):
        if (token := getattr(tokenizer, f"{kind}_token_id", None)) is not None:
            getattr(writer, f"add_{kind}_token_id")(token)
    bare, whole = tokenizer("a", add_special_tokens=False).input_ids, tokenizer("a").input_ids
    writer.add_add_bos_token(whole[:1] == [tokenizer.bos_token_id] != bare[:1])
    if isinstance(tokenizer.chat_template, str):
        writer.add_chat_template(tokenizer.chat_template)


def _tensors(model: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield each tensor by its name in GGUF, as llama.cpp wants its rows."""
    from gguf import MODEL_ARCH, get_tensor_name_map

    config = model.config
    names = get_tensor_name_map(MODEL_ARCH.LLAMA, config.num_hidden_layers)
    heads = {"q_proj.weight": config.num_attention_heads, "k_proj.weight": config.num_key_value_heads}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        key = names.get_name(name, try_suffixes=(".weight",))
        if key is None:
            raise UserError(f"this model cannot be written as GGUF: it has a tensor {name}", fix=PLAIN)
        count = next((count for part, count in heads.items() if name.endswith(part)), 0)
        yield key, _neighbours(tensor, count) if count else tensor


def _neighbours(weight: Tensor, heads: int) -> Tensor:
    """Return a projection with those rows side by side that are half a head apart in transformers."""
    return weight.unflatten(0, (heads, 2, -1)).transpose(1, 2).reshape(weight.shape)


def _stored(tensor: Tensor, dtype: str) -> tuple[np.ndarray, None, Any] | tuple[np.ndarray]:
    """Return a tensor as the writer takes it."""
    from gguf import GGMLQuantizationType

    if tensor.dim() < 2 or dtype == "float32":
        return (tensor.detach().float().contiguous().numpy(),)
    if dtype == "float16":
        return (tensor.detach().half().contiguous().numpy(),)
    narrow = tensor.detach().bfloat16().contiguous().view(torch.uint8).numpy()
    return narrow, None, GGMLQuantizationType.BF16


def _check(path: Path, tensors: list[tuple[str, Tensor]], dtype: str, words: list[tuple[str, int]]) -> None:
    """Read a file back.

    Raises:
        UserError: a tensor or a token is not what was meant.
    """
    from gguf import GGUFReader
    from gguf.quants import dequantize

    reader, wanted = GGUFReader(path), getattr(torch, dtype)
    found = {one.name: one for one in reader.tensors}
    wrong = sorted(found.keys() ^ {key for key, _ in tensors})
    for key, tensor in tensors:
        if key in found:
            narrow = tensor.detach().to(wanted if tensor.dim() > 1 else torch.float32).float().numpy()
            stored = dequantize(found[key].data, found[key].tensor_type)
            wrong += [] if np.array_equal(stored, narrow) else [key]
    listed = reader.get_field("tokenizer.ggml.tokens")
    if listed is None or listed.contents() != [token for token, _ in words]:
        wrong.append("the tokens")
    if wrong:
        raise UserError("the GGUF file is not what was written", where=path, found=", ".join(wrong[:5]), fix=PLAIN)
