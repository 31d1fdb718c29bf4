"""The sizes of a quickstart: what is trained, and on how much it is compared. No torch here.

A smaller size does part of what a larger one does: its support sets and its tasks are among the larger one's, and all
have the same queries. So a cell that is finished under one size counts under every other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from task_suites.core.errors import counted

SizeName = Literal["mini", "tiny", "small", "medium", "large"]
SAFETY = 0.8  # share of the time left that an estimate may fill, since it may be off by a quarter
SLOWDOWN = 1.5  # how much slower the machine may become before what cannot be cut later takes too long


@dataclass(frozen=True)
class Size:
    """How much a quickstart does.

    Attributes:
        steps: of meta-training, one episode each.
        seeds: support sets a task.
        queries: queries a support set.
        tasks: held-out tasks, spread over the suite; 0 takes all.
        finetune_cells: (task, support set) pairs on which fine-tuning runs; 0 leaves it out.
        curve: whether a quarter of the demonstrations is compared too.
    """

    steps: int
    seeds: int
    queries: int
    tasks: int
    finetune_cells: int
    curve: bool


SIZES: dict[SizeName, Size] = {
    "mini": Size(10, 1, 16, 4, 0, False),
    "tiny": Size(16, 1, 16, 6, 0, False),
    "small": Size(28, 1, 16, 10, 0, True),
    "medium": Size(48, 2, 16, 10, 1, True),
    "large": Size(80, 3, 16, 10, 2, True),
}
LARGEST: SizeName = "large"
OPTIONS = {"steps": "max_steps", "tasks": "max_tasks"}  # fields whose option has another name
NOUNS = {  # the fields that a user can give, and what each counts
    "steps": "training step",
    "seeds": "support set",
    "queries": "query",
    "tasks": "task",
    "finetune_cells": "fine-tuning cell",
}
FIELDS = tuple(NOUNS)


@dataclass(frozen=True)
class Asked:
    """The fields of a size that the user gave a value; None where they did not."""

    steps: int | None = None
    seeds: int | None = None
    queries: int | None = None
    tasks: int | None = None
    finetune_cells: int | None = None

    @property
    def given(self) -> dict[str, int]:
        """The values that the user gave, by name."""
        return {name: value for name in FIELDS if (value := getattr(self, name)) is not None}

    def at(self, name: SizeName) -> Size:
        """Return the size of this name with the values that the user gave instead."""
        return replace(SIZES[name], **self.given)  # type: ignore[arg-type]  # no name in it is that of a switch

    def choices(self) -> dict[SizeName, Size]:
        """Return the sizes that differ, the largest first; of equal ones the larger name."""
        found: dict[SizeName, Size] = {}
        for name in reversed(SIZES):
            if (size := self.at(name)) not in found.values():
                found[name] = size
        return found

    def cut(self, size: Size) -> list[str]:
        """Return a clause for each thing of which a size has less than the largest one."""
        full, words = self.at(LARGEST), []
        for name, what in NOUNS.items():
            most, now = getattr(full, name), getattr(size, name)
            if now != most and name != "finetune_cells":
                words.append(f"{counted(now, what)} instead of {most or 'all'}")
        if size.finetune_cells < full.finetune_cells:
            now = counted(size.finetune_cells, "cell") if size.finetune_cells else "none"
            words.append(f"fine-tuning on {now} instead of {full.finetune_cells}")
        if full.curve and not size.curve:
            words.append("no comparison with fewer demonstrations")
        return words


@dataclass(frozen=True)
class Need:
    """The seconds that a size should take.

    Attributes:
        total: all of it.
        core: what cannot be cut once its training has begun: the training, the smallest comparison and the report.
    """

    total: float
    core: float

    def fits(self, seconds: float) -> bool:
        """Return whether it ends in time if the estimate is off by a quarter, or the machine becomes slower by half."""
        return self.total <= SAFETY * seconds and SLOWDOWN * self.core <= seconds


def fitting(needs: Mapping[SizeName, Need], seconds: float) -> SizeName | None:
    """Return the largest size that fits into the seconds.

    The smallest is also chosen where it fits without a margin; None where it does not.

    Args:
        needs: by size, the largest first.
    """
    for name, need in needs.items():
        if need.fits(seconds):
            return name
    smallest = list(needs)[-1]
    return smallest if needs[smallest].total <= seconds else None
