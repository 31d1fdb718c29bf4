"""A message has one full stop before its way out, however its parts end."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from task_suites.core.errors import UserError, counted, reason_of


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


def test_a_missing_key_is_said_to_be_missing():
    assert reason_of(KeyError("name")) == "'name' is missing"
    assert reason_of(ValueError("no number")) == "no number"


def repeats_a_bare_key(handler: ast.ExceptHandler) -> bool:
    """Whether a handler of `KeyError` puts the exception itself into a message: that is the key's name and no more."""
    if "KeyError" not in ast.dump(handler.type or ast.Constant(None)):
        return False
    fields = [node.value for node in ast.walk(handler) if isinstance(node, ast.FormattedValue)]
    return any(isinstance(value, ast.Name) and value.id == handler.name for value in fields)


def test_no_message_repeats_a_missing_key_without_a_word():
    root = Path(__file__).resolve().parents[3]
    files = [path for top in ("task_suites", "metaicl", "eval") for path in (root / top).rglob("*.py")]
    assert len(files) > 300
    for path in files:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        handlers = [node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)]
        assert not any(map(repeats_a_bare_key, handlers)), path
    [planted] = [
        n
        for n in ast.walk(ast.parse("try: 1\nexcept (KeyError, OSError) as e: print(f'no {e}')"))
        if isinstance(n, ast.ExceptHandler)
    ]
    assert repeats_a_bare_key(planted)
