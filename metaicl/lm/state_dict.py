"""A published file of weights (`torch.save` of a state dict) as a folder that every command takes as a model."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from metaicl.lm.loading import open_model
from metaicl.lm.weights import check_weights, read_pickled
from task_suites.core.atomic import new_folder
from task_suites.core.errors import UserError

BUFFERS = re.compile(r"\.attn\.(bias|masked_bias)$")  # masks that transformers stored with GPT-2 until 2022
FIX = "Fetch the file again, or name the base model that its weights belong to as --model."


def model_folder(file: Path, base: str, folder: Path) -> Path:
    """Write the base model with the weights of a state dict into a folder, unless it is there, and return the folder.

    The file is read without running any code that it holds (`weights_only`).

    Args:
        file: what `torch.save(model.state_dict(), file)` wrote, of a single process or of several.
        base: the model that the weights belong to: a registry name, a folder or a hub name.

    Raises:
        UserError: the file is missing or damaged, or holds other weights than the model has.
    """
    if (folder / "config.json").is_file():
        return folder
    if not file.is_file():
        raise UserError("no file of weights", where=file, expected="a file that torch.save wrote, such as model.pt")
    found = read_pickled(file, FIX)
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise UserError("not a state dict", where=file, found=type(found).__name__, expected="tensors by name", fix=FIX)
    model, tokenizer = open_model(base, torch.float32)
    expected = model.state_dict()
    named = {str(name).removeprefix("module."): value for name, value in found.items()}
    weights = {
        name: value.float() if value.is_floating_point() else value
        for name, value in named.items()
        if name in expected or not BUFFERS.search(name)
    }
    check_weights(weights, expected, file, FIX)
    model.load_state_dict(weights)
    with new_folder(folder) as made:
        model.save_pretrained(made)
        tokenizer.save_pretrained(made)
    return folder
