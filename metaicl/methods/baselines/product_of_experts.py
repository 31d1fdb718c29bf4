"""A product of experts (Hinton 2002): several methods answer together by the sum of their option scores.

An in-context model and a method on embeddings err on different tasks. Their scores have no common unit, so each
expert's scores of a query are standardised (mean 0, standard deviation 1) over its options before they are added up.
Nothing is tuned. An option that an expert cannot score (one without a demonstration, for methods on embeddings) gets
the lowest score that this expert gives to another one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metaicl.lm.backbone import Backbone
from metaicl.methods.base import Method
from metaicl.methods.baselines.experts import build_expert, other_models, product
from metaicl.methods.predictor import Predictor
from task_suites.core.errors import UserError, nearest
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Task


class ProductOfExperts(Method):
    """A product of experts. See the module's docstring."""

    label = "Product of experts"
    note = "the sum of several methods' option scores, each standardised over a query's options"
    paper = "Hinton 2002, Training products of experts by minimizing contrastive divergence"
    weights = "frozen"

    @dataclass(frozen=True)
    class Config(Method.Config):
        """The options of a product of experts.

        Attributes:
            experts: at least two methods that need no meta-training and learn no weights, by name, on the same model;
                or on another one, such as a sentence encoder, as METHOD@MODEL.
            expert_options: for each expert's name, its options.
        """

        experts: list[str] = field(default_factory=lambda: ["icl", "prototypes_names"])
        expert_options: dict[str, dict[str, Any]] = field(
            default_factory=lambda: {"icl": {"calibration": "cross_fit"}}  # else the prior would decide the product
        )

    config: Config

    def __init__(self, backbone: Backbone, form: PromptFormat, config: Config):
        super().__init__(backbone, form, config)
        if len(set(config.experts)) < max(2, len(config.experts)):
            raise UserError(
                f"experts names {', '.join(config.experts) or 'none'}", expected="at least two different methods"
            )
        for name in config.expert_options.keys() - {*config.experts, *self.Config().expert_options}:
            raise UserError(f"options for {name!r}, which is not an expert", fix=nearest(name, config.experts))
        self.experts = [build_expert(name, backbone, form, config.expert_options) for name in config.experts]
        self.order_free = all(expert.order_free for expert in self.experts)

    @classmethod
    def other_models(cls, options: Mapping[str, Any]) -> list[str]:
        return other_models(options.get("experts", ()))

    def refusal(self, task: Task) -> str | None:
        found = (expert.refusal(task) for expert in self.experts)
        return super().refusal(task) or next((reason for reason in found if reason), None)

    def longest(self, task: Task, support: Sequence[Example], queries: Sequence[Example]) -> int:
        return max(expert.longest(task, support, queries) for expert in self.experts)

    def adapt(self, task: Task, support: Sequence[Example]) -> Predictor:
        self.check_serves(task)
        return ProductPredictor([expert.adapt(task, support) for expert in self.experts])


class ProductPredictor(Predictor):
    """The sum of several predictors' standardised scores."""

    def __init__(self, members: Sequence[Predictor]):
        self.members = tuple(members)

    def prepare(self) -> None:
        for member in self.members:
            member.prepare()

    def scores(self, queries: Sequence[Example]) -> list[np.ndarray]:
        found = [member.scores(queries) for member in self.members]
        self.dropped = max(member.dropped for member in self.members)
        return [self.combined(each) for each in zip(*found, strict=True)]

    def combined(self, scores: Sequence[np.ndarray]) -> np.ndarray:
        """Return the scores `[options]` of a query from those of each member."""
        return product(scores)
