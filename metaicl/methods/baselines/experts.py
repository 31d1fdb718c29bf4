"""What methods made of other methods share: their experts, and the experts' scores of the demonstrations themselves by
cross-fitting, each part of them given the others.

The parts are a function of the demonstrations, whatever their order: those of each class are dealt out in turn, by a
hash of their content. A demonstration whose class no other part has says nothing: at test it would have been seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metaicl.lm.config import BackboneConfig
from metaicl.lm.kinds import AnyBackbone, load_backbone
from metaicl.methods import method_class
from metaicl.methods.base import Method, support_keys
from metaicl.methods.metric.embedding import ABSENT
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Task

Options = Mapping[str, Mapping[str, Any]]


def other_models(names: Sequence[str]) -> list[str]:
    """Return the models that experts named METHOD@MODEL run on."""
    return [model for name in names if (model := name.partition("@")[2])]


def build_expert(name: str, backbone: AnyBackbone, form: PromptFormat, options: Options) -> Method:
    """Return an expert: a method on `backbone`, or METHOD@MODEL on a model of its own.

    Raises:
        UserError: the method is meta-trained or learns weights, or the options are not the method's.
    """
    registered, _, model = name.partition("@")
    method = method_class(registered)
    if method.meta_trained or method.weights not in (None, "frozen"):
        raise UserError(
            f"{name} cannot be an expert, because it {'is meta-trained' if method.meta_trained else 'learns weights'}",
            expected="methods such as icl, ct_kv and knn",
            fix="Give a meta-trained model as --model: the experts then run on top of it.",
        )
    if model:
        method.check_kind(model)
        given = BackboneConfig(model, device=str(backbone.device))
        backbone = load_backbone(method.backbone_config(given, shared=True))
    return method.build(backbone, form, options.get(name, {}))


def centred(scores: np.ndarray) -> np.ndarray:
    """Scores `[options]` less their mean. `ABSENT` counts as the lowest of the others; zeros where there are none."""
    known = scores[scores > ABSENT]
    if not len(known):
        return np.zeros_like(scores)
    raised = np.maximum(scores, known.min())
    return raised - raised.mean()


def standardised(scores: np.ndarray) -> np.ndarray:
    """Scores `[options]` at mean 0 and standard deviation 1; zeros where they do not differ. `ABSENT` counts as the
    lowest of the others."""
    known, found = scores[scores > ABSENT], centred(scores)
    spread = found.std()
    differs = len(known) and spread > 1e-12 * max(1.0, float(np.abs(known).max()))
    return found / spread if differs else np.zeros_like(scores)


def product(scores: Sequence[np.ndarray]) -> np.ndarray:
    """Return the scores `[options]` of a product of experts: the sum of theirs, each standardised.

    Experts that say the opposite cancel, but for what rounding leaves. That must not decide, so it is rounded away.
    """
    total: np.ndarray = np.round(np.sum([standardised(each) for each in scores], axis=0), 9)
    return total


@dataclass(frozen=True)
class Scored:
    """A demonstration as a query, in the eyes of some experts.

    Attributes:
        scores: each expert's scores `[options]`, centred.
        right: the index of the right option.
    """

    scores: Sequence[np.ndarray]
    right: int


def parts_of(support: Sequence[Example], folds: int) -> list[list[int]]:
    """Return the indices of each part of a support set, at most `folds` parts, none of them empty."""
    keys = [hashlib.sha256(support_keys([example]).encode()).hexdigest() for example in support]
    fixed = len({example.options for example in support}) == 1  # else answers are not classes
    order = sorted(range(len(support)), key=lambda i: (support[i].output or "" if fixed else "", keys[i]))
    return [sorted(part) for fold in range(folds) if (part := order[fold::folds])]


def cross_fitted(experts: Sequence[Method], task: Task, support: Sequence[Example], folds: int) -> list[Scored]:
    """Return what the experts say of the demonstrations, each scored given the other parts.

    There is nothing to return without a second part, or where no demonstration's class is in another part.
    """
    parts = parts_of(support, folds)
    found: list[Scored] = []
    for part in parts if len(parts) > 1 else ():
        others = tuple(e for i, e in enumerate(support) if i not in part)
        seen = {e.output for e in others}
        asked = [support[i] for i in part if not task.labels or support[i].output in seen]
        if asked:
            queries = [e.hidden() for e in asked]
            each = [map(centred, expert.adapt(task, others).scores(queries)) for expert in experts]
            found += [
                Scored(scores, (e.options or ()).index(e.output or "")) for e, *scores in zip(asked, *each, strict=True)
            ]
    return found
