"""Lists for the terminal: lines whose columns are aligned, below a row that names them."""

from __future__ import annotations

from collections.abc import Sequence


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the head and the rows as lines, the columns two blanks apart; the last one is as wide as its text.

    A column that is empty in every row is left out with its name.
    """
    shown = [i for i in range(len(head)) if not rows or any(row[i] for row in rows)]
    lines = [[line[i] for i in shown] for line in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines]
