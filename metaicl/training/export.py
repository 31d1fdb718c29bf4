"""A model as one plain folder of transformers: adapters merged, weights in safetensors, the tokenizer beside them."""

from __future__ import annotations

from pathlib import Path

import torch

from metaicl.lm.loading import open_model
from metaicl.lm.models import KINDS, kind_of
from metaicl.training.checkpoint import trained_folder
from metaicl.training.folders import whole_folder
from task_suites.core.errors import UserError


def export_model(model: str, folder: Path, dtype: str = "float32") -> Path:
    """Write a model into a new folder and return it. Nothing is left of it where that fails.

    Args:
        model: the folder of a run or of a trained method that learned adapters or all weights, or a model's name.
        dtype: the type of the weights: float32, bfloat16 or float16.

    Raises:
        UserError: the folder exists, there is no such model, it is a sentence encoder, or its method learned more than
            the model's weights.
    """
    if folder.exists():
        raise UserError(f"{folder} exists already", fix="Give a new folder as --output_dir, or delete this one.")
    source = str(trained_folder(model) or model)
    if (kind := kind_of(source)) != "causal":
        fix = "It is a plain folder as it is."
        raise UserError(f"{model} is {KINDS[kind]}", expected="a causal language model", fix=fix)
    opened, tokenizer = open_model(source, torch.float32)
    with whole_folder(folder) as scratch:
        opened.to(getattr(torch, dtype)).save_pretrained(scratch)
        tokenizer.save_pretrained(scratch)
    return folder
