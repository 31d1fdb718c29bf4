"""Which attempt gave each example of the built-in suite, so that those before it need not be drawn to be rejected.

Three attempts in four are rejected (their text is too long or short, or falls on the other side). `attempts.json` holds
the number of the one that is not, for each example, and a hash of the modules of this folder: where these have changed,
it is ignored, and the examples are found attempt by attempt, as they were when it was made.

    python -m task_suites.embedded.attempts      # write it again, after a change of this folder; about ten seconds
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FILE = HERE / "attempts.json"


def sources() -> str:
    """SHA-256 over the modules of this folder, in hexadecimal."""
    digest = hashlib.sha256()
    for path in sorted(HERE.glob("*.py")):
        digest.update(f"{path.name}\n".encode() + path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


@cache
def _known() -> Mapping[str, str]:
    if not FILE.is_file():
        return {}
    kept: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return kept["attempts"] if kept["sources"] == sources() else {}


def known(task: str, split: str) -> Sequence[int]:
    """The attempts of the examples number 0, 1, ... of a split; none where they are not known."""
    return bytes.fromhex(_known().get(f"{task}/{split}", ""))


def write() -> None:
    """Find the attempts of all examples of the built-in suite from the beginning, and write the file."""
    from task_suites.core.atomic import write_text
    from task_suites.embedded.generator import SIZES, attempts_of
    from task_suites.sources.embedded import FAMILIES

    found = {
        f"{family.name}_{blueprint.name}/{split}": bytes(attempts_of(family, blueprint, split)).hex()
        for family in FAMILIES
        for blueprint in family.blueprints
        for split in SIZES
    }
    write_text(FILE, json.dumps({"sources": sources(), "attempts": found}, indent=0) + "\n")


if __name__ == "__main__":
    write()
