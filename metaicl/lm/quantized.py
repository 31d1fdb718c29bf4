"""Base weights in four or eight bits (bitsandbytes), on which adapters learn as usual."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import torch

from metaicl.lm.config import NOTHING, BackboneConfig
from task_suites.core.errors import UserError

# bytes of a weight of a linear layer: the codes, and a scale for each block of 64 codes (in 8 bits themselves) or row
BYTES = {"4bit": 0.5 + 1 / 64, "8bit": 1.0}


def quantized(config: BackboneConfig, device: str, dtype: torch.dtype) -> Mapping[str, Any]:
    """Return the arguments of `from_pretrained` for a configuration's quantization: none where it has none.

    Four bits are NF4 with quantised scales (QLoRA, Dettmers et al. 2023, arXiv 2305.14314); eight bits are LLM.int8
    (Dettmers et al. 2022, arXiv 2208.07339).

    Args:
        device: where the model will be, since such weights are made there.
        dtype: the type of the products.

    Raises:
        UserError: bitsandbytes is not installed, or such weights would have to learn.
    """
    if config.quantization == "none":
        return NOTHING
    if config.weights == "full":
        raise UserError(
            f"weights is full, but weights in {config.quantization} do not learn",
            fix="Learn adapters (weights lora), or leave quantization out.",
        )
    if find_spec("bitsandbytes") is None:
        raise UserError(
            f"quantization is {config.quantization}, and the library bitsandbytes is not installed",
            fix='Run: pip install "metaicl[bitsandbytes]"',
        )
    from transformers import BitsAndBytesConfig

    if config.quantization == "8bit":
        how = BitsAndBytesConfig(load_in_8bit=True)
    else:
        how = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    return {"quantization_config": how, "device_map": {"": device}}


def keep_derivatives(model: torch.nn.Module) -> None:
    """Keep bitsandbytes from packing four-bit weights for a CPU's inference kernel. It packs them in the first forward
    pass without a graph, and products with packed weights have no derivatives: those of adapters below them are wrong
    without a word."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]
