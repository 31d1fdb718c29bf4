"""`metaicl export`: a model as one plain folder that other programs load."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from metaicl.cli.parser import Command


@dataclass(frozen=True)
class Export:
    """Write a model, its adapters merged, as a folder that transformers, vLLM, SGLang and others load.

    Attributes:
        model: the folder of a run, a copy of its best weights, or a name of `metaicl models list`.
        output_dir: the folder to write; it must be new.
        dtype: the precision of the weights.
        gguf: write one file, model.gguf, for llama.cpp and Ollama. Only for Llama models.
    """

    model: str
    output_dir: Path
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    gguf: bool = False


def run(config: Export) -> None:
    """Write the folder, and say what is in it and what loads it."""
    from metaicl.training.export import GGUF, export_model

    folder = export_model(config.model, config.output_dir, config.dtype, config.gguf)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {config.model} in {config.dtype}, {size / 1e6:,.0f} MB, with no adapters left to load")
    print(f"Serve it, for example: {f'llama-server -m {folder / GGUF}' if config.gguf else f'vllm serve {folder}'}")


COMMAND = Command(Export, run, "metaicl export smollm2-135m-metaicl --output_dir models/metaicl", ("model",))
