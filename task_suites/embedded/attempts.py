"""Which attempt gave each example of the built-in suite, so that those before it need not be drawn to be rejected.

Three attempts in four are rejected: their text is too long or too short, or belongs to the other split. For each
example, `attempts.json` holds the number of the attempt that is not rejected. It holds them by family, with a hash of
the family's file and of the modules of this folder. Where that hash differs, the examples are found attempt by attempt.

    python -m task_suites.embedded      # write it again, after a change of this folder; about ten seconds
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypedDict

HERE = Path(__file__).resolve().parent
FILE = HERE / "attempts.json"


class Kept(TypedDict):
    """What the file holds for a family: a hash, and the attempts of each `task/split`, a byte each, in hexadecimal."""

    sources: str
    attempts: dict[str, str]


def sources(family: Path) -> str:
    """Return SHA-256 over the modules of this folder and the file of a family, in hexadecimal."""
    digest = hashlib.sha256(_modules())
    digest.update(_unix(family.read_bytes()))
    return digest.hexdigest()


@cache
def _modules() -> bytes:
    return b"".join(f"{path.name}\n".encode() + _unix(path.read_bytes()) for path in sorted(HERE.glob("*.py")))


def _unix(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n")


@cache
def _kept() -> Mapping[str, Kept]:
    kept: dict[str, Kept] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
    return kept


def known(family: str, sources: str, task: str, split: str) -> Sequence[int]:
    """Return the attempts of the examples number 0, 1, ... of a split; none where they are not known for these
    sources."""
    kept = _kept().get(family)
    return bytes.fromhex(kept["attempts"].get(f"{task}/{split}", "")) if kept and kept["sources"] == sources else b""
