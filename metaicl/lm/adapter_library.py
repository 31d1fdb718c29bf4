"""peft without bitsandbytes, which peft imports wherever it is installed. It takes seconds and prints a line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

BITSANDBYTES = "bitsandbytes"


def import_peft() -> None:
    """Import peft, which then imports bitsandbytes only where weights in fewer bits get adapters."""
    if "peft" in sys.modules or BITSANDBYTES in sys.modules:
        return
    sys.modules[BITSANDBYTES] = None  # type: ignore[assignment]  # peft.helpers tries to import it, and does without it
    try:
        import_module("peft")
    finally:
        del sys.modules[BITSANDBYTES]
        library = import_module("peft.import_utils")
        for found in (library.is_bnb_available, library.is_bnb_4bit_available):
            found.cache_clear()


@contextmanager
def adapters_for(model: Any) -> Iterator[None]:
    """A block in which peft puts adapters on a model; it imports bitsandbytes only for weights that are its own."""
    import_peft()
    if BITSANDBYTES in sys.modules or getattr(model, "is_quantized", False):
        yield
        return
    lora: Any = import_module("peft.tuners.lora.model")
    before = lora.is_bnb_available, lora.is_bnb_4bit_available
    lora.is_bnb_available = lora.is_bnb_4bit_available = lambda: False
    try:
        yield
    finally:
        lora.is_bnb_available, lora.is_bnb_4bit_available = before
