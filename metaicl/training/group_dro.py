"""Weights of the meta-training tasks that are learned during the training: distributionally robust optimisation over
groups (group DRO; Sagawa et al. 2020, arXiv 1911.08731, algorithm 1), with a task as a group.

Tasks are drawn evenly, as by the mixing "uniform", and the loss of an episode is multiplied by its task's factor: its
weight q, which begins at 1/n, times the number n of tasks. After each step the weight of each task with an episode in
it is multiplied by exp(step size * the task's loss), and the weights are divided by their sum. So which episodes a step
has depends on no loss, and the weights are those of one process whatever the number of processes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping


class GroupDRO:
    """The learned weights.

    Args:
        tasks: the names of the meta-training tasks.
        step_size: that of the exponentiated gradient; 0 keeps the weights equal.

    Attributes:
        exponents: task -> the logarithm of its weight, up to a number that all share: what a checkpoint holds.
    """

    def __init__(self, tasks: Iterable[str], step_size: float):
        self.step_size = step_size
        self.exponents = dict.fromkeys(sorted(tasks), 0.0)

    def factors(self) -> dict[str, float]:
        """Return task -> what its losses are multiplied by; their mean is 1."""
        top = max(self.exponents.values())
        raw = {name: math.exp(value - top) for name, value in self.exponents.items()}
        mean = math.fsum(raw.values()) / len(raw)
        return {name: value / mean for name, value in raw.items()}

    def weights(self) -> dict[str, float]:
        """Return task -> its weight; they sum to 1."""
        return {name: factor / len(self.exponents) for name, factor in self.factors().items()}

    def update(self, losses: Iterable[tuple[str, float, float]]) -> None:
        """Learn from the episodes of a step.

        Args:
            losses: (task, loss sum, weight) of each episode, before its factor; a task's loss is the mean over its
                episodes by weight.
        """
        sums: dict[str, float] = {}
        amounts: dict[str, float] = {}
        for name, loss, amount in losses:
            sums[name] = sums.get(name, 0.0) + loss
            amounts[name] = amounts.get(name, 0.0) + amount
        for name, total in sums.items():
            self.exponents[name] += self.step_size * total / max(amounts[name], 1.0)

    def metrics(self) -> dict[str, float]:
        """Return the weights by the names that they have in metrics.jsonl."""
        return {f"weight/{name}": weight for name, weight in self.weights().items()}

    def load(self, exponents: Mapping[str, float]) -> None:
        """Continue from the exponents of a checkpoint."""
        self.exponents = {name: exponents[name] for name in self.exponents}
