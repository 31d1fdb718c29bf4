"""How long an evaluation takes on this machine: a few cells of each method are run, and kept; the rest follows from
their sizes (metaicl/training/estimate.py)."""

from __future__ import annotations

from collections.abc import Sequence

from eval.cells import Cell
from eval.contenders import Contender
from eval.harness import Comparison
from metaicl.methods.base import Method
from metaicl.training.estimate import SAMPLES, Rate, spread, timed


def comparison_seconds(comparison: Comparison, contenders: Sequence[Contender]) -> float:
    """Return the seconds that the unfinished cells should take after those that are run now, and kept, to measure it.

    A method with few unfinished cells is not measured: its cells would all be run.
    """
    total, cold = 0.0, True
    for contender in contenders:
        if len(comparison.unfinished(contender)) > SAMPLES:
            method = contender.build()
            rate = kept_rate(comparison, contender, method, warm_up=cold)
            cold = False
            total += cells_seconds(comparison, contender, method, rate)
    return total


def kept_rate(comparison: Comparison, contender: Contender, method: Method, warm_up: bool) -> Rate:
    """Return the rate of a contender's cells, `SAMPLES` of which are run and kept to measure it (fewer where fewer are
    unfinished). A cell that is refused measures nothing.

    Args:
        warm_up: answer one cell before that is not kept, since the first one of a process takes longer.
    """
    cells = [cell for cell in comparison.unfinished(contender) if comparison.size(method, *cell)]
    sizes = [comparison.size(method, *cell) for cell in cells]
    if warm_up and cells:
        comparison.answer(method, *cells[spread(sizes)[0]])
    jobs = [
        (sizes[i], lambda i=i: isinstance(comparison.fill(contender, lambda: method, *cells[i]), Cell))
        for i in spread(sizes)
    ]
    return timed(jobs)


def cells_seconds(comparison: Comparison, contender: Contender, method: Method, rate: Rate) -> float:
    """Return the seconds that a contender's unfinished cells should take, those left out that the method refuses."""
    sizes = (comparison.size(method, *cell) for cell in comparison.unfinished(contender))
    return rate.seconds([size for size in sizes if size])
