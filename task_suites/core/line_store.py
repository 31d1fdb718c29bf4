"""A file of JSON lines that grows by whole lines: finished cells, a log of steps.

A process may be killed in the middle of a line. What it left of that line is not a value: reading passes over it, and
the next `append` replaces it. Any other line that cannot be read is an error: nothing is lost silently.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from task_suites.core.errors import UserError
from task_suites.core.files import at_line, decoded, open_file
from task_suites.core.json_files import parse_json

LOST = "Delete the line; what it held is computed again."


def json_line(value: Any) -> str:
    """Return a value as one line of JSON that `parse_json` takes back; NaN and infinities, which JSON lacks, become
    null."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False) + "\n"


class LineStore:
    """The JSON objects in a file, one a line; the file need not exist yet."""

    def __init__(self, path: Path):
        self.path = path

    def read(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield ("file:line", object) of each line, without what a killed process left of its last one.

        Raises:
            UserError: a line that is not a JSON object.
        """
        if not self.path.exists():
            return
        with open_file(self.path, None) as file:
            for number, line in enumerate(file, 1):
                where = at_line(self.path, number)
                if not line.endswith(b"\n") and not _whole(line):
                    return
                try:
                    value = parse_json(decoded(line, self.path, number).rstrip("\r\n"), where, lines=False)
                except UserError as error:
                    raise UserError(str(error).rstrip("."), fix=LOST) from None
                if not isinstance(value, dict):
                    raise UserError("not a JSON object", where=where, found=type(value).__name__, fix=LOST)
                yield where, value

    def append(self, *values: Mapping[str, Any]) -> None:
        """Add the values, a line each; what a killed process left of a line goes.

        Raises:
            UserError: the file cannot be written.
        """
        data = "".join(map(json_line, values)).encode()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as file:
                _end_with_a_whole_line(file)
                file.write(data)
        except OSError as error:
            fix = "Free space or choose another folder."
            raise UserError(f"cannot be written ({error.strerror or error})", where=self.path, fix=fix) from None


def _end_with_a_whole_line(file: Any) -> None:
    """Complete the last line of a file open for appending, or cut it off where it is not a JSON object."""
    size = file.seek(0, os.SEEK_END)
    tail = b""
    while size > len(tail) and b"\n" not in tail:
        start = max(0, size - max(4096, 2 * len(tail)))
        file.seek(start)
        tail = file.read(size - start)
    torn = tail.rpartition(b"\n")[2]
    if torn and _whole(torn):
        file.write(b"\n")
    elif torn:
        file.truncate(size - len(torn))


def _whole(line: bytes) -> bool:
    """Return whether a line without its end is a JSON object all the same."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _finite(value: Any) -> Any:
    """Return the value with null instead of each number that is not finite."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
