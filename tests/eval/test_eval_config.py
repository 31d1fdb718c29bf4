"""The configurations of the comparing commands: what excludes what, and where their runs lie."""

from __future__ import annotations

import pytest

from eval.config import Protocol
from task_suites.core.errors import UserError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": []}, "k is empty"),
        ({"seeds": 0}, "at least 1"),
        ({"queries": 0}, "at least 1"),
        ({"k": [4, 4]}, "names a number twice"),
        ({"curve_seeds": 5}, "curve_seeds must be at most seeds, 3, but is 5"),
    ],
)
def test_a_protocol_that_asks_for_nothing_or_twice_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        Protocol(**changes)
