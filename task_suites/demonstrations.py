"""Demonstrations that a user names, instead of those that an `EpisodeSampler` draws."""

from __future__ import annotations

from collections.abc import Sequence

from task_suites.core.errors import UserError, nearest
from task_suites.example import Example
from task_suites.task import Task

SEARCHED = 2048  # examples among which an error looks for the input that was meant


def fixed_support(task: Task, named: Sequence[int | str], k: int | None = None) -> tuple[Example, ...]:
    """Return demonstrations that a user names, in the order named: train examples by position (from 0) or by content.

    Args:
        named: positions, or inputs (case and white space do not matter; the first example that has it).
        k: only the first k of them; None takes all.

    Raises:
        UserError: nothing answers to a name, one example is named twice, or fewer than k are named.
    """
    part = task.index("train")
    if k is not None and k > len(named):
        raise UserError(
            f"task {task.name}: k={k} asks for more demonstrations than are fixed",
            found=f"{len(named)} fixed demonstrations",
            fix="Lower k, or name more demonstrations.",
        )
    places: list[int] = []
    for name in named:
        where = f"task {task.name}: demonstration {name!r}"
        if isinstance(name, str):
            content = Example(name).content
            found = sorted(part.find([content]))
            if not found:
                texts = [e.content for e in part.examples[:SEARCHED]]
                raise UserError(f"{where} is not a train example's input", fix=nearest(content, texts))
            places.append(found[0])
        elif isinstance(name, bool) or not 0 <= name < len(part.examples):
            last = len(part.examples) - 1
            raise UserError(f"{where} is not the position of a train example", expected=f"0 to {last}")
        else:
            places.append(name)
        if places[-1] in places[:-1]:
            raise UserError(f"{where} names an example a second time", expected="distinct demonstrations")
    return tuple(part.examples[i] for i in places[:k])
