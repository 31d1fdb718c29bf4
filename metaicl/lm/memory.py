"""What memory holds, and whether there was too little of it."""

from __future__ import annotations

from typing import Any

import torch


def cache_bytes(cache: Any) -> int:
    """Return the memory of a prefix's states, in bytes."""
    tensors = [v for layer in getattr(cache, "layers", ()) for v in vars(layer).values() if isinstance(v, torch.Tensor)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def out_of_memory(error: RuntimeError) -> bool:
    """Return whether an error says that a device had no memory left."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)
