"""PyTorch's fused CPU attention, under its internal name: the public one does not return the log-sum-exps."""

from __future__ import annotations

import torch
from torch import Tensor

from metaicl.lm.refused import Refused

_forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
fused_attention_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def fused_attention(query: Tensor, key: Tensor, value: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Return (the output, the log-sum-exp of each row's scores), `[batch, heads, rows, width]` and `[batch, heads,
    rows]`.

    Raises:
        Refused: this PyTorch's log-sum-exps are laid out differently (they have been rows first, too).
    """
    out, lse = _forward(query, key, value, 0.0, False, scale=scale)
    if lse.shape != out.shape[:3]:
        raise Refused(f"the fused kernel's log-sum-exp is {tuple(lse.shape)} for {tuple(out.shape)}")
    return out, lse


def serves_bf16() -> bool:
    """Return whether bf16 may be given to the kernel: on an AMX processor that is held to AVX2 it fails."""
    return "AVX512" in torch.backends.cpu.get_cpu_capability()
