"""Files of weights that were read to the end and found finite, remembered beside the pulled models.

Reading 135 million weights takes a third of the time of loading them. A note holds for exactly the files that were
read: their names, sizes, inodes, and the times of their last change, which no program can set back.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path

from task_suites.core.atomic import write_text
from task_suites.core.errors import UserError
from task_suites.core.files import user_cache

log = logging.getLogger("metaicl")
WEIGHTS = (".safetensors", ".bin")
LEAST = 16 << 20  # bytes: smaller models are read at each start, in no time


def not_finite_once(folder: str | Path, dtype: str, find: Callable[[], list[str]]) -> list[str]:
    """Return the names of a folder's tensors that are not finite: none where all were found finite before, else those
    that `find` returns now.

    Args:
        folder: the model's folder; of a hub's name nothing is remembered.
        dtype: the type in which the weights are loaded: a large value is not finite in a narrow one.
    """
    note = _note(Path(folder), dtype)
    if note is not None and note.is_file():
        return []
    found = find()
    if note is not None and not found:
        try:
            write_text(note, json.dumps({"finite": str(folder), "dtype": dtype}) + "\n")
        except UserError as error:  # a cache that cannot be written costs the reading at each start, no more
            log.debug("%s", error)
    return found


def _note(folder: Path, dtype: str) -> Path | None:
    """Return the path of the note on a folder's files of weights as they are now; None where they are small, or
    elsewhere."""
    files = sorted(p for p in folder.rglob("*") if p.suffix in WEIGHTS and p.is_file()) if folder.is_dir() else []
    if sum(p.stat().st_size for p in files) < LEAST:
        return None
    content = [dtype, [[str(p.resolve()), *_marks(p)] for p in files]]
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:24]
    return user_cache() / "finite" / f"{digest}.json"


def _marks(path: Path) -> list[int]:
    """Return what changes where a file's content does."""
    stat = path.stat()
    return [stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns]
