"""What tests of the methods on vectors share."""

from __future__ import annotations

import pytest


@pytest.fixture
def width(frozen) -> int:
    return int(frozen.model_config.hidden_size)
