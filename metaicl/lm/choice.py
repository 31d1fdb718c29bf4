"""How a model is run: which attention, and which of two shortcuts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Attention = Literal["tree", "flex", "dense", "plain"]


@dataclass(frozen=True)
class Fallback:
    """A way that was not taken.

    Attributes:
        way: an attention, "output head" or "last network".
        reason: a clause about the model ("it keeps a running state").
    """

    way: str
    reason: str


@dataclass(frozen=True)
class Choice:
    """How a model is run.

    Attributes:
        attention: see metaicl/lm/attention/selection.py.
        output_head: whether we multiply the output embedding.
        last_network: whether the last layer's network runs at the wanted positions only.
        fallbacks: the quicker ways that were refused, each with its reason.
    """

    attention: Attention
    output_head: bool
    last_network: bool
    fallbacks: tuple[Fallback, ...] = ()
