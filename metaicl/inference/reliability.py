"""How far the probabilities of a fitted method can be believed, from its demonstrations only.

Each demonstration is scored given others by cross-fitting: four parts of them, each scored by the method when it has
learned from the other three. A score has the unit of its method, so probabilities are the softmax of the scores times
one factor, the inverse temperature (Guo et al. 2017, arXiv 1706.04599). It minimises, over the n demonstrations, with
scores s that are centred and divided by their root mean square r,

    sum of -log softmax(f s)[right]  +  (f - 1)^2 / 2,      inverse temperature = max(f, 1/100) / r

so that few demonstrations leave it near 1 / r. The Brier score (Brier 1950) then judges the probabilities, each with
a factor from other demonstrations than its own:

    Brier = mean over demonstrations of the sum over classes of (probability - 1 if it is the right one, else 0)^2

It is 0 where all probability is on the right class, 1 - 1/classes for equal probabilities, and 2 at worst. With few
demonstrations it is rough: its standard error is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from metaicl.methods.base import Method
from metaicl.methods.baselines.experts import Scored, cross_fitted
from metaicl.methods.baselines.stacking import spreads_of, stacked_weights
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.task import Task

FOLDS = 4  # parts of the demonstrations
HELD_OUT = 16  # most parts in which the factor is fitted without the demonstrations that it then judges
RIDGE = 1.0
LEAST = 0.01  # of the factor: the order of the classes stays that of their scores


@dataclass(frozen=True)
class Reliability:
    """What the demonstrations say of a method's probabilities; see the module's docstring.

    Attributes:
        brier: the Brier score of calibrated probabilities, from 0 to 2; NaN where no demonstration could be judged.
        error: its standard error; NaN likewise.
        brier_before: the Brier score of the softmax of the scores as they are.
        accuracy: the share of the demonstrations whose right class has the highest score.
        inverse_temperature: what scores are multiplied by; 1 where no demonstration could be judged.
        judged: how many demonstrations could be judged: those whose class also stands in another part.
    """

    brier: float
    error: float
    brier_before: float
    accuracy: float
    inverse_temperature: float
    judged: int

    def __str__(self) -> str:
        if not self.judged:
            return "no demonstration could be judged: probabilities are the softmax of the scores"
        before = f"{self.brier_before:.3f} before calibration"
        found = f"Brier score {self.brier:.3f} +- {self.error:.3f} ({before}), accuracy {self.accuracy:.2f}"
        return f"{found}, by cross-fitting on {self.judged} demonstrations"


UNKNOWN = Reliability(np.nan, np.nan, np.nan, np.nan, 1.0, 0)


def reliability_of(method: Method, task: Task, support: Sequence[Example]) -> Reliability:
    """Return the reliability of a method that learns from a support set. It learns from four parts of it for that.

    Where it cannot learn from the other parts (one class only is left there), nothing can be judged.
    """
    try:
        seen = cross_fitted([method], task, support, FOLDS)
    except UserError:
        return UNKNOWN
    return judged(seen)


def judged(seen: Sequence[Scored]) -> Reliability:
    """Return the reliability of cross-fitted scores of one method."""
    if not seen:
        return UNKNOWN
    factor = inverse_temperature(seen)
    distances, before = [], [_distance(one, 1.0) for one in seen]
    parts = min(HELD_OUT, len(seen))
    for part in range(parts):
        others = [one for i, one in enumerate(seen) if i % parts != part]
        distances += [_distance(one, inverse_temperature(others) if others else factor) for one in seen[part::parts]]
    right = [float(one.scores[0].argmax() == one.right) for one in seen]
    error = np.std(distances) / np.sqrt(len(distances))
    mean = float(np.mean(distances))
    return Reliability(mean, float(error), float(np.mean(before)), float(np.mean(right)), factor, len(seen))


def inverse_temperature(seen: Sequence[Scored]) -> float:
    """Return the factor of scores that suits the demonstrations best; it is more than 0."""
    spreads = spreads_of(seen)
    return float((np.maximum(stacked_weights(seen, spreads, RIDGE), LEAST) / spreads)[0])


def _distance(one: Scored, factor: float) -> float:
    """Return the squared distance between the probabilities of a demonstration's options and the truth."""
    found = softmax(factor * one.scores[0])
    found[one.right] -= 1
    return float(np.square(found).sum())
