"""The finished cells of a comparison, kept in a file that only grows: what is finished is never computed again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from eval.results import Cell, Refusal, prediction
from task_suites.core.errors import UserError
from task_suites.core.line_store import LOST, LineStore


class CellStore:
    """Finished cells by their keys, each appended to a file of JSON lines as soon as it is finished.

    Raises:
        UserError: a line of the file is not a finished cell.
    """

    def __init__(self, path: Path):
        self._lines = LineStore(path)
        self._cells: dict[str, Cell | Refusal] = {}
        for where, line in self._lines.read():
            cell = _cell(line, where)
            self._cells[cell.key] = cell

    def __contains__(self, key: str) -> bool:
        return key in self._cells

    def __getitem__(self, key: str) -> Cell | Refusal:
        return self._cells[key]

    def add(self, cell: Cell | Refusal) -> None:
        """Keep a finished cell."""
        self._lines.append(_line(cell))
        self._cells[cell.key] = cell


def _line(cell: Cell | Refusal) -> dict[str, Any]:
    """A finished cell as a line of the file."""
    head = {"method": cell.method, "task": cell.task, "seed": cell.seed, "k": cell.k, "key": cell.key}
    if isinstance(cell, Refusal):
        return {**head, "refused": cell.reason, "by_design": cell.by_design}
    return {**head, **cell.to_json(), "answers": [asdict(one) for one in cell.predictions]}


def _cell(line: Mapping[str, Any], where: str) -> Cell | Refusal:
    """The finished cell that a line holds."""
    own = {f.name: line[f.name] for f in fields(Cell) if f.name in line and f.name != "predictions"}
    head: dict[str, Any] = {name: own.get(name) for name in ("method", "task", "seed", "k", "key")}
    refused = "refused" in line
    if None in head.values() or not (refused or "score" in own):
        raise UserError("not a finished cell", where=where, found=f"keys {sorted(line)[:8]}", fix=LOST)
    if refused:
        return Refusal(**head, reason=line["refused"], by_design=line.get("by_design", False))
    return Cell(**own, predictions=tuple(prediction(answer) for answer in line.get("answers", ())))
