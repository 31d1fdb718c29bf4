"""Differentiable closed-form classifiers (Bertinetto et al. 2019, arXiv 1805.08136) over the backbone's embeddings: on
each support set R2-D2 solves ridge regression, LR-D2 logistic regression by Newton's method (IRLS).

Both solve in the smaller of two spaces. With X `[n, d]`, by Woodbury's identity,

    ridge:  W = X' (X X' + lambda I)^-1 Y  =  (X' X + lambda I)^-1 X' Y
    IRLS:   w = X' (X X' + lambda S^-1)^-1 z,   z = X w + S^-1 (y - mu),   S = diag(mu (1 - mu))

Learned across tasks: a linear map of the vectors (started at the identity), lambda (positive, as its logarithm), and
scale and bias of the logits. Vectors have length one (times the map); a column of ones is the bias, regularised with
the rest, as in the published code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from metaicl.lm.backbone import Backbone
from metaicl.methods.base import RATE, Space
from metaicl.methods.metric.embedding import EmbeddingMethod
from metaicl.methods.metric.learned_maps import identity_map
from task_suites.core.ranges import Count, Positive
from task_suites.formats.prompt_format import PromptFormat


class R2D2(EmbeddingMethod):
    """Ridge regression on one-hot classes. See the module's docstring."""

    label = "R2-D2"
    note = "ridge regression solved on learned embeddings"
    paper = "Bertinetto et al. 2019, arXiv 1805.08136"
    space: ClassVar[Space] = {**RATE, "options.ridge": ("log", 1e-4, 1.0)}

    @dataclass(frozen=True)
    class Config(EmbeddingMethod.Config):
        """The options of closed-form regression.

        Attributes:
            ridge: the regularisation lambda at the start of meta-training.
            scale: the factor of the logits at the start of meta-training.
            ones: whether a column of ones, the bias, is added to the vectors.
            learn_map: whether a linear map of the vectors is learned.
        """

        ridge: Positive = 0.003
        scale: Positive = 10.0
        ones: bool = True
        learn_map: bool = True

    config: Config

    def __init__(self, backbone: Backbone, form: PromptFormat, config: Config):
        super().__init__(backbone, form, config)
        self.map: nn.Module = identity_map(self.width) if config.learn_map else nn.Identity()
        self.log_ridge = nn.Parameter(torch.tensor(float(config.ridge)).log())
        self.log_scale = nn.Parameter(torch.tensor(float(config.scale)).log())
        self.bias = nn.Parameter(torch.tensor(0.0))

    def logits(self, shots: Tensor, labels: Tensor, queries: Tensor, classes: int) -> Tensor:
        x, asked = self.features(shots), self.features(queries)
        targets = nn.functional.one_hot(labels, classes).to(x.dtype)
        return self.log_scale.exp() * (asked @ self.solution(x, targets)) + self.bias

    def features(self, vectors: Tensor) -> Tensor:
        """Return `[items, d]`: the vectors scaled and mapped, and the column of ones."""
        x = self.map(vectors / self.width**0.5)
        return torch.cat([x, torch.ones_like(x[:, :1])], 1) if self.config.ones else x

    def solution(self, x: Tensor, targets: Tensor) -> Tensor:
        """W `[d, classes]`."""
        return ridge_weights(x, targets, self.log_ridge.exp())


class LRD2(R2D2):
    """Logistic regression, each class against the rest. See the module's docstring."""

    label = "LR-D2"
    note = "logistic regression solved on learned embeddings"
    paper = R2D2.paper

    @dataclass(frozen=True)
    class Config(R2D2.Config):
        """The options of logistic regression.

        Attributes:
            newton: how many Newton steps are taken, from w = 0.
        """

        newton: Count = 5
        scale: Positive = 1.0

    config: Config

    def solution(self, x: Tensor, targets: Tensor) -> Tensor:
        return logistic_weights(x, targets, self.log_ridge.exp(), self.config.newton)


def ridge_weights(x: Tensor, y: Tensor, ridge: Tensor) -> Tensor:
    """argmin |x W - y|^2 + ridge |W|^2, `[d, classes]`, solved in n or d unknowns, whichever are fewer."""
    n, d = x.shape
    if n <= d:
        return x.T @ torch.linalg.solve(x @ x.T + ridge * torch.eye(n, dtype=x.dtype, device=x.device), y)
    return torch.linalg.solve(x.T @ x + ridge * torch.eye(d, dtype=x.dtype, device=x.device), x.T @ y)


def logistic_weights(x: Tensor, y: Tensor, ridge: Tensor, steps: int) -> Tensor:
    """Return argmin sum_i log-loss(x_i w, y_i) + ridge/2 |w|^2 for each column of y (0 or 1), by `steps` of IRLS:
    `[d, classes]`.

    It is solved in n unknowns, or in d where they are fewer. Curvatures are kept above 1e-4, because a class that is
    predicted with certainty would divide by zero.
    """
    n, d = x.shape
    w = torch.zeros(y.shape[1], d, dtype=x.dtype, device=x.device)
    kernel = x @ x.T if n <= d else None
    for _ in range(steps):
        f = w @ x.T  # [classes, n]
        mu = f.sigmoid()
        s = (mu * (1 - mu)).clamp_min(1e-4)
        z = f + (y.T - mu) / s
        if kernel is not None:
            w = torch.linalg.solve(kernel + ridge * torch.diag_embed(1 / s), z) @ x
        else:
            eye = torch.eye(d, dtype=x.dtype, device=x.device)
            w = torch.linalg.solve((x.T * s[:, None]) @ x + ridge * eye, (s * z) @ x)
    return w.T
