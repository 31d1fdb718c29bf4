"""Which task an episode of meta-training comes from: a function of (seed, episode number) only."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal, get_args

from task_suites.core.errors import UserError, counted, nearest
from task_suites.core.values import listed
from task_suites.task import Task

MixingKind = Literal["uniform", "proportional", "temperature", "weights", "group_dro"]
WeightsBy = Literal["task", "family", "suite", "type"]
KINDS: tuple[str, ...] = get_args(MixingKind)
EVEN = ("uniform", "group_dro")  # these draw every task equally often
GROUPS: dict[WeightsBy, Callable[[Task], str]] = {  # the name by which a weight means a task
    "task": lambda task: task.name,
    "family": lambda task: task.family or task.name,
    "suite": lambda task: task.suite,
    "type": lambda task: task.type,
}


@dataclass(frozen=True)
class Mixing:
    """How often tasks are drawn.

    Attributes:
        kind: "uniform" takes every task once a round, in an order drawn for the round; "proportional" draws a task with
            a chance proportional to its number n of train examples, "temperature" to n^(1/temperature) (Raffel et al.
            2020, arXiv 1910.10683, section 3.5.2), "weights" to its weight. "group_dro" draws as "uniform" does; the
            training learns a weight for the loss of each task (`metaicl.training.group_dro`).
        temperature: 1 is proportional; the higher, the more even.
        weights: the weight of each task, family, suite or type by its name; the tasks of a family, suite or type share
            its weight evenly. What is not named is never drawn.
        by: what the weights name: "task", "family" (a task without one by its own name), "suite" (by the name that
            the suite was opened by) or "type" (classification, multiple_choice, ...).

    Raises:
        UserError: an unknown kind or `by`, a temperature that is not above 0, or weights that are negative, infinite,
            missing, or given with another kind.
    """

    kind: MixingKind = "uniform"
    temperature: float = 2.0
    weights: Mapping[str, float] = field(default_factory=dict)
    by: WeightsBy = "task"

    def __post_init__(self) -> None:
        if self.by not in GROUPS:
            raise UserError(f"mixing_weights_by must be {listed(tuple(GROUPS))}, but is {self.by!r}")
        if self.kind not in KINDS:
            raise UserError(f"mixing must be {listed(KINDS)}, but is {self.kind!r}")
        if not 0 < self.temperature < float("inf"):
            raise UserError(f"mixing_temperature must be above 0, but is {self.temperature}")
        if bool(self.weights) != (self.kind == "weights"):
            what = f"mixing is {self.kind}, but mixing_weights has {counted(len(self.weights), 'weight')}"
            fix = "Set mixing to weights, or leave mixing_weights out." if self.weights else "Give mixing_weights."
            raise UserError(what, fix=fix)
        if wrong := {name: w for name, w in self.weights.items() if not 0 <= w < float("inf")}:
            name, weight = next(iter(wrong.items()))
            raise UserError(f"mixing_weights: the weight of {self.by} {name!r} must be 0 or more, but is {weight}")

    def check(self, tasks: Sequence[Task]) -> None:
        """Raise unless each weight names a task, family or suite of `tasks`.

        Raises:
            UserError: names the one that is none, and what was probably meant.
        """
        known = {by: {group(task) for task in tasks} for by, group in GROUPS.items()}
        for name in self.weights:
            if name not in known[self.by]:
                others = [by for by in GROUPS if name in known[by]]
                what = f"mixing_weights: no {self.by} {name!r} among the meta-training tasks"
                if others:
                    raise UserError(what, fix=f"It is a {others[0]}: set trainer.mixing_weights_by {others[0]}.")
                raise UserError(what, fix=nearest(name, known[self.by]))

    def task_weights(self, tasks: Sequence[Task]) -> dict[str, float]:
        """Return the weight of each task by its name, in order of names: an even share of the weight of its group."""
        groups = {task.name: GROUPS[self.by](task) for task in sorted(tasks, key=lambda task: task.name)}
        sizes = Counter(groups.values())
        return {name: float(self.weights.get(group, 0)) / sizes[group] for name, group in groups.items()}

    def chances(self, tasks: Sequence[Task]) -> dict[str, float]:
        """Return the share of each task in the long run, by name; they sum to 1.

        Raises:
            UserError: no task has a weight above 0.
        """
        names = sorted(task.name for task in tasks)
        if self.kind in EVEN:
            return dict.fromkeys(names, 1 / len(names))
        if self.kind == "weights":
            raw = self.task_weights(tasks)
        else:
            power = 1 if self.kind == "proportional" else 1 / self.temperature
            raw = {task.name: len(task.examples("train")) ** power for task in sorted(tasks, key=lambda t: t.name)}
        if not (total := sum(raw.values())):
            found = f"weights of {sorted(self.weights)}" if self.weights else None
            raise UserError(
                "no meta-training task has a weight above 0", found=found, expected=f"one for any of {names}"
            )
        return {name: value / total for name, value in raw.items()}

    def choose(self, tasks: Sequence[Task], seed: int, numbers: Sequence[int]) -> list[Task]:
        """Return the tasks of the episodes with these numbers; the order of `tasks` does not matter."""
        by_name = {task.name: task for task in tasks}
        names = sorted(by_name)
        if self.kind in EVEN:
            rounds = {number // len(names) for number in numbers}
            orders = {round_: _shuffled(names, f"{seed}/order/{round_}") for round_ in rounds}
            return [by_name[orders[number // len(names)][number % len(names)]] for number in numbers]
        chances = {name: share for name, share in self.chances(tasks).items() if share}
        drawable, ends = list(chances), list(accumulate(chances.values()))
        places = (bisect_right(ends, random.Random(f"{seed}/mixing/{n}").random() * ends[-1]) for n in numbers)
        return [by_name[drawable[min(place, len(drawable) - 1)]] for place in places]


def _shuffled(names: Sequence[str], seed: str) -> list[str]:
    order = list(names)
    random.Random(seed).shuffle(order)
    return order
