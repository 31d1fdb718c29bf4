"""The configuration of `metaicl predict`. No torch here: the command line shows its help from this file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PredictRun:
    """Answer new inputs from a file of demonstrations; one JSON object a line on standard output.

    Attributes:
        demos: JSON lines with answers: {"input", "output"}, with "options" for multiple choice, {"tokens", "tags"}.
        inputs: JSON lines without answers; - reads them from standard input.
        model: a run's folder, or the name of a base model.
        method: for a base model: a method that needs no meta-training (default icl; on a sentence
            encoder prototypes_names).
        instruction: what to do; it heads the prompts.
    """

    demos: Path
    inputs: Path
    model: str = "smollm2-135m"
    method: str | None = None
    instruction: str = ""
