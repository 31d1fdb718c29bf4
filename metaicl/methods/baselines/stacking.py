"""Stacking (Wolpert 1992; Breiman 1996): a product of experts whose weights are learned from the demonstrations.

Each demonstration is scored by the experts given the others (cross-fitting, metaicl/methods/baselines/experts.py). An
option's score is the weighted sum of the experts' scores of it, which are centred over a query's options and divided by
the expert's own spread over all cross-fitted scores, so that how sure an expert is counts. The weights, none below 0,
minimise

    sum over demonstrations of -log softmax(w . scores)[right] + ridge/2 |w - 1|^2

which is a conditional logit, and works for any number of options. With equal weights it is a product of experts; where
demonstrations say nothing (one only, or one of each class) it is that very product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from metaicl.methods.baselines.experts import Scored, centred, cross_fitted
from metaicl.methods.baselines.product_of_experts import ProductOfExperts, ProductPredictor
from metaicl.methods.predictor import Predictor
from task_suites.core.ranges import Folds, Positive
from task_suites.example import Example
from task_suites.task import Task


class Stacking(ProductOfExperts):
    """Stacking. See the module's docstring."""

    label = "Stacking"
    note = "several methods' option scores, weighted by how well they predict each part of the demonstrations"
    paper = "Wolpert 1992, Stacked generalization; Breiman 1996, Stacked regressions"

    @dataclass(frozen=True)
    class Config(ProductOfExperts.Config):
        """The options of stacking.

        Attributes:
            ridge: how strongly the weights are held at 1.
            folds: the number of parts of the demonstrations that are scored given the others.
        """

        ridge: Positive = 10.0  # sixteen demonstrations say little: results/log/experiments.md
        folds: Folds = 4

    config: Config

    def adapt(self, task: Task, support: Sequence[Example]) -> Predictor:
        self.check_serves(task)
        members = [expert.adapt(task, support) for expert in self.experts]
        seen = cross_fitted(self.experts, task, support, self.config.folds)
        if not seen:
            return ProductPredictor(members)
        spreads = spreads_of(seen)
        return StackedPredictor(members, spreads, stacked_weights(seen, spreads, self.config.ridge))


class StackedPredictor(ProductPredictor):
    """The weighted sum of several predictors' scores: log-probabilities of the options, up to a constant.

    Attributes:
        spreads: `[experts]`: what each expert's centred scores are divided by.
        weights: `[experts]`: the weights that were learned.
    """

    def __init__(self, members: Sequence[Predictor], spreads: np.ndarray, weights: np.ndarray):
        super().__init__(members)
        self.spreads, self.weights = spreads, weights

    def combined(self, scores: Sequence[np.ndarray]) -> np.ndarray:
        return (self.weights / self.spreads) @ np.stack([centred(each) for each in scores])


def spreads_of(seen: Sequence[Scored]) -> np.ndarray:
    """Return `[experts]`: the root mean square of each expert's centred scores; 1 where it says nothing."""
    squares = [np.mean(np.concatenate(each) ** 2) for each in zip(*(one.scores for one in seen), strict=True)]
    return np.sqrt([square if square > 1e-24 else 1.0 for square in squares])


def stacked_weights(seen: Sequence[Scored], spreads: np.ndarray, ridge: float) -> np.ndarray:
    """Return `[experts]`: the weights, none below 0, that minimise the penalised loss of the module's docstring."""
    features = [np.stack(one.scores) / spreads[:, None] for one in seen]

    def penalised(weights: np.ndarray) -> tuple[float, np.ndarray]:
        loss, slope = ridge / 2 * float(np.square(weights - 1).sum()), ridge * (weights - 1)
        for x, one in zip(features, seen, strict=True):
            logs = log_softmax(weights @ x)
            loss -= float(logs[one.right])
            slope = slope + x @ np.exp(logs) - x[:, one.right]
        return loss, slope

    start = np.ones(len(spreads))
    bounds = [(0.0, None)] * len(start)
    found: np.ndarray = minimize(
        penalised, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-14, "gtol": 1e-9}
    ).x
    return found
