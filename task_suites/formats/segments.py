"""Segments: the pieces of a prompt, before any tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["instruction", "demo_input", "demo_output", "query", "option"]


@dataclass(frozen=True)
class Segment:
    """A piece of a prompt: its role, its text, and whether its tokens are scored (and supervised in training)."""

    role: Role
    text: str
    scored: bool = False
