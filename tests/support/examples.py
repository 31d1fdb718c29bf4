"""How many examples a property is tried on."""

from __future__ import annotations

import os

from hypothesis import settings

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE", "same") != "same"


def examples(count: int) -> settings:
    """`count` examples where properties are tried thoroughly (`make slow`), and a third of them, but ten, elsewhere."""
    return settings(max_examples=count if THOROUGH else max(min(count, 10), count // 3), deadline=None)
