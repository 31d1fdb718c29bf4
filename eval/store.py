"""The store of finished work: a file of JSON lines that only grows. What is finished is never computed again.

`metaicl evaluate`, `tune`, the quickstart and `metaicl benchmark` store cells in it (`cell_store`), and the benchmark
its entries too (`eval/benchmark_results.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from eval.cells import Cell, Prediction, Refusal
from task_suites.core.errors import UserError
from task_suites.core.field_types import fits, read_object
from task_suites.core.line_store import LOST, LineStore


class Keyed(Protocol):
    """What can be stored: an object with a key."""

    @property
    def key(self) -> str: ...


Item = TypeVar("Item", bound=Keyed)


class Store(Generic[Item]):
    """Finished objects by their keys, each appended to the file as soon as it is finished.

    Args:
        path: the file; it need not exist.
        read: makes an object from a line and from where the line stands.
        line: gives an object's line.
        added: the file that gets what is added; None: the same.

    Raises:
        UserError: a line of the file is not such an object.
    """

    def __init__(
        self,
        path: Path,
        read: Callable[[Mapping[str, Any], str], Item],
        line: Callable[[Item], Mapping[str, Any]],
        added: Path | None = None,
    ):
        self._lines, self._line = LineStore(added or path), line
        self._items: dict[str, Item] = {}
        for where, row in LineStore(path).read():
            item = read(row, where)
            self._items[item.key] = item

    def __contains__(self, key: str) -> bool:
        return key in self._items

    def __getitem__(self, key: str) -> Item:
        return self._items[key]

    def all(self) -> list[Item]:
        """Return what is stored, in the order of the file."""
        return list(self._items.values())

    def add(self, item: Item) -> None:
        """Store a finished object."""
        self._lines.append(self._line(item))
        self._items[item.key] = item


def cell_store(path: Path, added: Path | None = None) -> Store[Cell | Refusal]:
    """Return the store of the cells in a file, each with its predictions; new ones go to `added` where it is given."""
    return Store(path, _cell, _line, added)


def _line(cell: Cell | Refusal) -> dict[str, Any]:
    """Return a finished cell as a line of the file."""
    head = {"method": cell.method, "task": cell.task, "seed": cell.seed, "k": cell.k, "key": cell.key}
    if isinstance(cell, Refusal):
        return {**head, "refused": cell.reason, "by_design": cell.by_design}
    return {**head, **cell.to_json(), "answers": [asdict(one) for one in cell.predictions]}


def _cell(line: Mapping[str, Any], where: str) -> Cell | Refusal:
    """Return the finished cell that a line holds."""
    try:
        if "refused" in line:
            refused = {"by_design": False, **line, "reason": line["refused"]}
            return Refusal(**read_object(Refusal, refused, None, "it", "key"))
        own = read_object(Cell, {**line, "predictions": ()}, None, "it", "key")
        if not fits(answers := line.get("answers", ()), Sequence[Any]):
            raise UserError("answers has a wrong type", found=repr(answers)[:60], expected="a list")
        made = [read_object(Prediction, answer, None, f"answers[{i}]", "answer") for i, answer in enumerate(answers)]
    except UserError as error:
        raise UserError(f"not a finished cell: {error}", where=where, fix=LOST) from None
    return Cell(**{**own, "predictions": tuple(Prediction(**answer) for answer in made)})
