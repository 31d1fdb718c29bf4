"""`python -m task_suites.embedded` finds the attempts of all examples of the built-in suite: attempts.json."""

from __future__ import annotations

import json

from task_suites.core.atomic import write_text
from task_suites.embedded.attempts import FILE, Kept
from task_suites.embedded.family_files import read_families
from task_suites.embedded.generator import SIZES, attempts_of


def write() -> None:
    """Find the attempts from the beginning, and write the file."""
    kept: dict[str, Kept] = {}
    for family in read_families():
        names = {f"{family.name}_{blueprint.name}": blueprint.draw for blueprint in family.blueprints}
        attempts = {
            f"{name}/{split}": bytes(attempts_of(name, split, draw)).hex()
            for name, draw in names.items()
            for split in SIZES
        }
        kept[family.name] = {"sources": family.sources, "attempts": attempts}
    write_text(FILE, json.dumps(kept, indent=0) + "\n")


if __name__ == "__main__":
    write()
