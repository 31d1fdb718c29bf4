"""A model as one plain folder of transformers: adapters merged, weights in safetensors, the tokenizer beside them."""

from __future__ import annotations

from pathlib import Path

import torch

from metaicl.lm.gguf_file import write_gguf
from metaicl.lm.loading import open_model
from metaicl.lm.models import KINDS, kind_of
from metaicl.training.checkpoint import trained_folder
from metaicl.training.folders import whole_folder
from task_suites.core.errors import UserError

GGUF = "model.gguf"


def export_model(model: str, folder: Path, dtype: str = "float32", gguf: bool = False) -> Path:
    """Write a model into a new folder and return it. Nothing is left of it where that fails.

    Args:
        model: the folder of a run or of a trained method that learned adapters or all weights, or a model's name.
        dtype: the type of the weights: float32, bfloat16 or float16.
        gguf: write the one file model.gguf, for llama.cpp, instead of a folder of transformers.

    Raises:
        UserError: the folder exists, there is no such model, it is a sentence encoder, its method learned more than
            the model's weights, or it cannot be written as GGUF.
    """
    if folder.exists():
        raise UserError(f"{folder} exists already", fix="Give a new folder as --output_dir, or delete this one.")
    source = str(trained_folder(model) or model)
    if (kind := kind_of(source)) != "causal":
        fix = "A sentence encoder is a plain folder already."
        raise UserError(f"{model} is {KINDS[kind]}", expected="a causal language model", fix=fix)
    opened, tokenizer = open_model(source, torch.float32)
    with whole_folder(folder) as scratch:
        if gguf:
            write_gguf(opened, tokenizer, scratch / GGUF, dtype, Path(model).name)
        else:
            opened.to(getattr(torch, dtype)).save_pretrained(scratch)
            tokenizer.save_pretrained(scratch)
    return folder
