"""Meta-train causal language models to learn new tasks from a few examples, and compare fairly."""

from typing import Any

__all__ = ["FewShotClassifier", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "FewShotClassifier":  # imported on first use, for it imports torch
        from metaicl.inference.classifier import FewShotClassifier

        return FewShotClassifier
    raise AttributeError(f"module 'metaicl' has no attribute {name!r}")
