"""`auto`: takes the candidate that predicts the demonstrations best, each part of them given the others.

A candidate is a method, METHOD@MODEL, or a product of several, joined by "+" (`icl+prototypes_names@minilm-l6`). What
is compared is the log-likelihood of the demonstrations' right options by cross-fitting. Scores of different methods
have no common unit, so a candidate's are divided by their spread and multiplied by the temperature that suits them
best, one number a candidate, held near 1. The candidates are in an order of preference. Taken is the first that is not
worse than the best by more than a standard error of their difference (Breiman et al. 1984, the one-standard-error
rule), which is the very first where the demonstrations say nothing. No clock is read: the list is an option, and
`budget` names two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from scipy.special import log_softmax

from metaicl.lm.backbone import Backbone
from metaicl.methods.base import EVERY_KIND, Method
from metaicl.methods.baselines.experts import Scored, build_expert, cross_fitted, other_models, product
from metaicl.methods.baselines.product_of_experts import ProductPredictor
from metaicl.methods.baselines.stacking import spreads_of, stacked_weights
from metaicl.methods.predictor import Predictor
from task_suites.core.errors import UserError, nearest
from task_suites.core.ranges import Folds, Positive
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Task

Budget = Literal["low", "high"]
ON_VECTORS = ("prototypes_names", "logistic", "knn", "label_names")  # methods of the lists that read an encoder
ON_ENCODER: Mapping[Budget, Sequence[str]] = {
    "low": ("prototypes_names", "logistic"),
    "high": ("prototypes_names", "logistic", "knn", "label_names", "prototypes_names+logistic"),
}
ON_LANGUAGE_MODEL: Mapping[Budget, Sequence[str]] = {
    "low": ("icl+prototypes_names", "prototypes_names", "icl"),
    "high": ("icl+prototypes_names", "prototypes_names", "icl", "knn", "icl+knn", "icl_pmi"),
}


@dataclass(frozen=True)
class Evidence:
    """What cross-fitting says of a candidate.

    Attributes:
        candidate: its name.
        log_likelihood: the mean log-likelihood of the demonstrations' right options; NaN where no demonstration counts.
        accuracy: the share of these demonstrations that it answers right; NaN likewise.
        worse_by: the mean of the best candidate's log-likelihoods less its own.
        error: the standard error of that difference.
    """

    candidate: str
    log_likelihood: float
    accuracy: float
    worse_by: float = 0.0
    error: float = 0.0

    def __str__(self) -> str:
        found = f"log-likelihood {self.log_likelihood:.3f}, accuracy {self.accuracy:.2f}"
        return f"{self.candidate}: {found}, worse than the best by {self.worse_by:.3f} +- {self.error:.3f}"


@dataclass(frozen=True)
class AutoChoice:
    """The candidate that was taken. As text it says why.

    Attributes:
        taken: its name.
        evidence: what cross-fitting says of each candidate, in the order of preference.
    """

    taken: str
    evidence: tuple[Evidence, ...]

    def __str__(self) -> str:
        if np.isnan(self.evidence[0].log_likelihood):
            return f"{self.taken} was taken as the first of {len(self.evidence)}: the demonstrations say nothing"
        rule = "the first that is not worse than the best by more than a standard error"
        return "\n".join([f"{self.taken} was taken: {rule}", *map(str, self.evidence)])


class Auto(Method):
    """The candidate that cross-fitting prefers. See the module's docstring."""

    label = "Auto"
    note = "the method among some candidates that predicts each part of the demonstrations best"
    paper = "Breiman et al. 1984, Classification and Regression Trees (the one-standard-error rule)"
    backbones = EVERY_KIND
    weights = "frozen"

    @dataclass(frozen=True)
    class Config(Method.Config):
        """The options of the choice by cross-fitting.

        Attributes:
            budget: the list of candidates, by cost: "low" or "high" (both are in metaicl/methods/baselines/auto.py).
            encoder: the sentence encoder of the list's methods on vectors, such as minilm-l6; null is the model itself.
            candidates: a list of candidates, in the order of preference, instead of that of `budget`. Those that do not
                serve a task are left out.
            candidate_options: options of the candidates, by their names.
            folds: the number of parts of the demonstrations that are scored given the others.
            ridge: how strongly the temperature of a candidate is pulled towards 1.
        """

        budget: Budget = "low"
        encoder: str | None = None
        candidates: list[str] | None = None
        candidate_options: dict[str, dict[str, Any]] = field(
            default_factory=lambda: {"icl": {"calibration": "cross_fit"}}  # as in a product of experts
        )
        folds: Folds = 4
        ridge: Positive = 1.0

    config: Config

    def __init__(self, backbone: Backbone, form: PromptFormat, config: Config):
        super().__init__(backbone, form, config)
        self.candidates = listed(config) if backbone.kind == "causal" else listed(config, on_encoder=True)
        names = {part for candidate in self.candidates for part in candidate.split("+")}
        if not self.candidates:
            raise UserError("candidates is empty", expected="at least one method")
        for name in config.candidate_options.keys() - {*names, *self.Config().candidate_options}:
            raise UserError(f"options for {name!r}, which is not a candidate", fix=nearest(name, names))
        self.experts = {name: build_expert(name, backbone, form, config.candidate_options) for name in sorted(names)}
        self.order_free = all(expert.order_free for expert in self.experts.values())
        self.reads_prompts = any(expert.reads_prompts for expert in self.experts.values())

    @classmethod
    def other_models(cls, options: Mapping[str, Any]) -> list[str]:
        parts = [part for candidate in options.get("candidates") or () for part in candidate.split("+")]
        return other_models(parts) + [encoder for encoder in [options.get("encoder")] if encoder]

    def members(self, candidate: str) -> list[Method]:
        """Return the methods of a candidate."""
        return [self.experts[part] for part in candidate.split("+")]

    def serving(self, task: Task) -> list[str]:
        """Return the candidates that serve a task."""
        return [c for c in self.candidates if not any(member.refusal(task) for member in self.members(c))]

    def refusal(self, task: Task) -> str | None:
        if (reason := super().refusal(task)) or self.serving(task):
            return reason
        return next(reason for member in self.members(self.candidates[0]) if (reason := member.refusal(task)))

    def longest(self, task: Task, support: Sequence[Example], queries: Sequence[Example]) -> int:
        served = [member for candidate in self.serving(task) for member in self.members(candidate)]
        return max((member.longest(task, support, queries) for member in served), default=0)

    def adapt(self, task: Task, support: Sequence[Example]) -> AutoPredictor:
        self.check_serves(task)
        candidates = self.serving(task)
        names = sorted({part for candidate in candidates for part in candidate.split("+")})
        seen: list[Scored] = []
        if len(candidates) > 1:
            seen = cross_fitted([self.experts[name] for name in names], task, support, self.config.folds)
        found = judged(candidates, names, seen, self.config.ridge)
        chosen = next(e.candidate for e in found if not seen or e.worse_by <= e.error)
        members = [member.adapt(task, support) for member in self.members(chosen)]
        return AutoPredictor(members[0] if len(members) == 1 else ProductPredictor(members), chosen, found)


def listed(config: Auto.Config, on_encoder: bool = False) -> list[str]:
    """Return the candidates of a configuration, on a sentence encoder or on a language model."""
    if config.candidates is not None:
        return list(dict.fromkeys(config.candidates))
    if on_encoder:
        return list(ON_ENCODER[config.budget])

    def placed(name: str) -> str:
        return f"{name}@{config.encoder}" if config.encoder and name in ON_VECTORS else name

    return ["+".join(map(placed, candidate.split("+"))) for candidate in ON_LANGUAGE_MODEL[config.budget]]


def judged(candidates: Sequence[str], names: Sequence[str], seen: Sequence[Scored], ridge: float) -> list[Evidence]:
    """Return the evidence for each candidate, in their order, from the scores of the methods `names`."""
    if not seen:
        return [Evidence(candidate, float("nan"), float("nan")) for candidate in candidates]
    places = [[names.index(part) for part in candidate.split("+")] for candidate in candidates]
    each = [_predicted(seen, place, ridge) for place in places]
    best = max((logs for logs, _ in each), key=lambda logs: float(logs.mean()))
    apart = [best - logs for logs, _ in each]
    return [
        Evidence(name, float(logs.mean()), float(right.mean()), float(d.mean()), float(d.std() / np.sqrt(len(d))))
        for name, (logs, right), d in zip(candidates, each, apart, strict=True)
    ]


def _predicted(seen: Sequence[Scored], places: Sequence[int], ridge: float) -> tuple[np.ndarray, np.ndarray]:
    """Return (log-likelihood of each demonstration's right option, whether it is the best) by one candidate."""
    each = [[one.scores[p] for p in places] for one in seen]
    joint = [
        Scored([product(scores) if len(scores) > 1 else scores[0]], one.right)
        for scores, one in zip(each, seen, strict=True)
    ]
    spreads = spreads_of(joint)
    factor = (stacked_weights(joint, spreads, ridge) / spreads)[0]
    logs = np.array([log_softmax(factor * one.scores[0])[one.right] for one in joint])
    return logs, np.array([float(one.scores[0].argmax() == one.right) for one in joint])


class AutoPredictor(Predictor):
    """The predictor of the candidate that was taken.

    Attributes:
        chosen: its name.
        evidence: what cross-fitting says of each candidate, in the order of preference.
    """

    def __init__(self, member: Predictor, chosen: str, evidence: Sequence[Evidence]):
        self.member, self.chosen, self.evidence = member, chosen, tuple(evidence)

    @property
    def choice(self) -> AutoChoice:
        """The choice, which says why."""
        return AutoChoice(self.chosen, self.evidence)

    @property
    def state_bytes(self) -> int:
        return self.member.state_bytes

    def prepare(self) -> None:
        self.member.prepare()

    def scores(self, queries: Sequence[Example]) -> list[np.ndarray]:
        found = self.member.scores(queries)
        self.dropped = self.member.dropped
        return found
