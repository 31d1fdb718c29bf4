"""A message has one full stop before its way out, however its parts end."""

from __future__ import annotations

import pytest

from task_suites.core.errors import UserError, counted


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"fix": "Lower k."}, "too few examples. Lower k."),
        ({"found": "3", "fix": "Lower k."}, "too few examples; found 3. Lower k."),
        ({"found": "a reason. Lower k.", "fix": "Look."}, "too few examples; found a reason. Lower k. Look."),
        ({"where": "a.csv:3"}, "a.csv:3: too few examples"),
    ],
)
def test_the_parts_of_a_message_are_joined_by_single_stops(parts, message):
    assert str(UserError("too few examples", **parts)) == message


def test_a_counted_noun_has_its_plural():
    assert [counted(n, "query") for n in (0, 1, 2)] == ["0 queries", "1 query", "2 queries"]
    assert counted(3, "day") == "3 days"
