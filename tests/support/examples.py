"""How many examples a property is tried on."""

from __future__ import annotations

import os

from hypothesis import settings

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE", "same") != "same"


def examples(count: int) -> settings:
    """Return settings with `count` examples in `make slow`, and elsewhere with a quarter of them, but at least ten."""
    return settings(max_examples=count if THOROUGH else max(min(count, 10), count // 4), deadline=None)
