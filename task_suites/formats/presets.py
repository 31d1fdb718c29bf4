"""Formats by name: the fields in which each differs from the direct one (`metaicl suites show TASK --format NAME`)."""

from __future__ import annotations

from typing import Any

from task_suites.core.errors import UserError, nearest
from task_suites.formats.templates import GENERAL

PRESETS: dict[str, dict[str, Any]] = {
    "direct": {},
    "channel": {"channel": True},
    "instruction": {"instruction": True},
    "definition": {"instruction": True, "instruction_style": "definition"},
    "natural-instructions": {
        "instruction": True,
        "instruction_style": "definition",
        "templates": {"natural-instructions": "Input: {{ input }}\nOutput: ||| {{ answer }}"},
    },
    "listed": {"choices": "listed"},
    "letters": {"choices": "letters"},
    "inline": {"tagging": "inline"},
    "arbitrary": {"label_words": "arbitrary"},
    "random": {"label_words": "random"},
    "shuffled": {"label_words": "shuffled"},
    "templates": {"templates": GENERAL},
    "chat": {"chat": True},
}


def fields_of(name: str) -> dict[str, Any]:
    """Return the fields of the format of a name in `PRESETS`.

    Raises:
        UserError: an unknown name.
    """
    if name not in PRESETS:
        raise UserError(f"no format {name!r}", fix=nearest(name, PRESETS))
    return PRESETS[name]
