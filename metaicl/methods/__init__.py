"""The registry of methods: one line for each way of learning from a support set.

A line names a class, its arguments and what it needs of format and backbone; the trainer and the harness read nothing
else. A method of one's own needs no line: `package.module:Name` names it in any config.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metaicl.methods.base import Method
from metaicl.methods.spec import MethodSpec
from task_suites.core.errors import UserError, nearest
from task_suites.sources import load_named

_IN_CONTEXT = "metaicl.methods.in_context.icl:InContext"
_MAML = "metaicl.methods.gradient.maml:MAML"
_MATCHING = "metaicl.methods.metric.matching:MatchingNet"
# At most 100,000 weights, in the upper third of the default backbone: what second derivatives, particles and
# optimisers that are models can hold on a small machine.
_SMALL = {"lora_r": 4, "target_modules": "query-value", "lora_layers": 10}
# Three steps are what meta-training can afford; where the demonstrations are not in the prompt, ten times as many at
# test are worth 30 points (docs/experiments.md).
_LONG = {"test_steps": 30}
_FAST = {**_LONG, "inner_lr": 1.0}  # so few weights have to move further than all adapters (docs/experiments.md)
_BASE = "metaicl.methods.baselines.chance:"
RATE: Mapping[str, Sequence[Any]] = {"trainer.learning_rate": ("log", 1e-4, 3e-3)}
_INNER = {**RATE, "options.inner_lr": ("log", 0.03, 3.0)}
_SCALE = {**RATE, "options.scale": ("log", 3.0, 100.0)}
_RIDGE = {**RATE, "options.ridge": ("log", 1e-4, 1.0)}
METHODS: dict[str, MethodSpec] = {
    "random": MethodSpec(_BASE + "RandomAnswer", "Random", "an answer drawn at random"),
    "majority": MethodSpec(_BASE + "MajorityAnswer", "Majority", "the demonstrations' most frequent answer"),
    "zero_shot": MethodSpec(
        _IN_CONTEXT, "Zero-shot", "the plain backbone without demonstrations", {"demonstrations": False}
    ),
    "icl": MethodSpec(_IN_CONTEXT, "Raw ICL", "the plain backbone with the demonstrations in its prompt"),
    "icl_contextual": MethodSpec(
        _IN_CONTEXT,
        "Raw ICL, calibrated",
        "contextual calibration by content-free queries",
        {"calibration": "contextual"},
    ),
    "icl_pmi": MethodSpec(
        _IN_CONTEXT, "Raw ICL, PMI", "scores less those behind an empty query", {"calibration": "pmi"}
    ),
    "finetune": MethodSpec(
        "metaicl.methods.baselines.finetune:FineTune",
        "Fine-tuning",
        "LoRA on the demonstrations, stopped early on part of them",
        weights="lora",
        space={"options.lr": ("log", 1e-4, 1e-2), "options.steps": ("int", 5, 60)},
    ),
    "protonet": MethodSpec(
        "metaicl.methods.metric.protonet:ProtoNet",
        "Prototypical",
        "nearest class mean of learned embeddings",
        trained=True,
        space=_SCALE,
    ),
    "protonet_cosine": MethodSpec(
        "metaicl.methods.metric.protonet:ProtoNet",
        "Prototypical, cosine",
        "the same by cosine",
        {"distance": "cosine"},
        trained=True,
        space=_SCALE,
    ),
    "matching": MethodSpec(
        _MATCHING, "Matching", "attention over the demonstrations' learned embeddings", trained=True, space=_SCALE
    ),
    "matching_fce": MethodSpec(
        _MATCHING,
        "Matching, FCE",
        "the same, each embedding in the context of all",
        {"fce": True},
        trained=True,
        space=_SCALE,
    ),
    "relation": MethodSpec(
        "metaicl.methods.metric.relation:RelationNet",
        "Relation",
        "a learned comparison of class means and query",
        trained=True,
    ),
    "r2d2": MethodSpec(
        "metaicl.methods.metric.ridge:R2D2",
        "R2-D2",
        "ridge regression solved on learned embeddings",
        trained=True,
        space=_RIDGE,
    ),
    "lrd2": MethodSpec(
        "metaicl.methods.metric.ridge:LRD2",
        "LR-D2",
        "logistic regression solved on learned embeddings",
        trained=True,
        space=_RIDGE,
    ),
    "snail": MethodSpec(
        "metaicl.methods.metric.snail:SNAIL",
        "SNAIL",
        "attention and convolutions over embeddings and labels in sequence",
        trained=True,
    ),
    "knn": MethodSpec(
        "metaicl.methods.metric.knn:NearestNeighbours",
        "Nearest neighbours",
        "votes of the nearest embeddings",
        space={"options.neighbours": ("int", 1, 7)},
    ),
    "setfit": MethodSpec(
        "metaicl.methods.baselines.setfit:SetFit",
        "SetFit",
        "adapters tuned on pairs of demonstrations, then logistic regression",
        weights="lora",
        adapters={"lora_layers": 14},  # eight of them below the layer that vectors come from
        space={"options.lr": ("log", 3e-5, 1e-3), "options.steps": ("int", 2, 15)},
    ),
    "multitask": MethodSpec(
        _IN_CONTEXT,
        "Multi-task",
        "meta-trained without demonstrations",
        {"demonstrations": False, "objective": "both"},
        trained=True,
        weights="lora",
    ),
    "transfer": MethodSpec(
        "metaicl.methods.baselines.transfer:Transfer",
        "Transfer",
        "multi-task training, then fine-tuning on the demonstrations",
        {"objective": "both"},
        trained=True,
        weights="lora",
    ),
    "fomaml": MethodSpec(
        _MAML,
        "FOMAML",
        "meta-trained start, gradient steps on the demonstrations",
        {**_LONG, "order": 1},
        trained=True,
        weights="lora",
        space=_INNER,
    ),
    "maml": MethodSpec(
        _MAML,
        "MAML",
        "FOMAML with the second derivatives",
        _FAST,
        trained=True,
        weights="lora",
        adapters=_SMALL,
        space=_INNER,
    ),
    "reptile": MethodSpec(
        "metaicl.methods.gradient.reptile:Reptile",
        "Reptile",
        "the start moves towards where each task's steps end",
        _LONG,
        trained=True,
        weights="lora",
        space=_INNER,
    ),
    "meta_sgd": MethodSpec(
        "metaicl.methods.gradient.meta_sgd:MetaSGD",
        "Meta-SGD",
        "MAML with a learned rate for every weight",
        _FAST,
        trained=True,
        weights="lora",
        adapters=_SMALL,
        space=_INNER,
    ),
    "tnet": MethodSpec(
        "metaicl.methods.gradient.tnet:TNet",
        "T-net",
        "MAML under a learned linear map of each adapter's output",
        _FAST,
        trained=True,
        weights="lora",
        adapters=_SMALL,
        space=_INNER,
    ),
    "mtnet": MethodSpec(
        "metaicl.methods.gradient.tnet:TNet",
        "MT-net",
        "T-net with a learned choice of which units move",
        {**_FAST, "mask": True},
        trained=True,
        weights="lora",
        adapters=_SMALL,
        space=_INNER,
    ),
    "lstm_meta": MethodSpec(
        "metaicl.methods.gradient.lstm_meta:LSTMMeta",
        "LSTM meta-learner",
        "the inner update is an LSTM's, learned",
        {"inner_lr": 0.7},
        trained=True,
        weights="lora",
        adapters=_SMALL,
        space={**RATE, "options.inner_lr": ("log", 0.03, 0.9)},
    ),
    "fomaml_icl": MethodSpec(
        _MAML,
        "FOMAML + prompt",
        "demonstrations in the prompt and gradient steps on them",
        {"in_context": True, "order": 1},
        trained=True,
        weights="lora",
        space=_INNER,
    ),
    "maml_icl": MethodSpec(
        _MAML,
        "MAML + prompt",
        "FOMAML + prompt with the second derivatives",
        {"inner_lr": 1.0, "in_context": True},
        trained=True,
        weights="lora",
        adapters=_SMALL,
        space=_INNER,
    ),
    "platipus": MethodSpec(
        "metaicl.methods.bayesian.platipus:PLATIPUS",
        "PLATIPUS",
        "MAML from starts drawn from a learned Gaussian, answers averaged",
        _FAST,
        trained=True,
        weights="lora",
        adapters=_SMALL,
        space=_INNER,
    ),
    "bmaml": MethodSpec(
        "metaicl.methods.bayesian.bmaml:BayesianMAML",
        "Bayesian MAML",
        "particles that repel each other, moved by SVGD, answers averaged",
        _FAST,
        trained=True,
        weights="lora",
        adapters=_SMALL,
        space=_INNER,
    ),
    "metaicl_channel": MethodSpec(
        _IN_CONTEXT,
        "MetaICL channel",
        "meta-trained to predict the input from the answer",
        trained=True,
        format={"channel": True},
        weights="lora",
    ),
    "ict": MethodSpec(
        _IN_CONTEXT,
        "ICT",
        "in-context tuning: MetaICL behind the task's instruction",
        format={"instruction": True},
        trained=True,
        weights="lora",
    ),
    "metaicl": MethodSpec(
        _IN_CONTEXT,
        "MetaICL",
        "meta-trained to answer from the demonstrations in its prompt",
        {"objective": "options", "calibration": "demonstrations", "prior_share": 0.5},
        trained=True,
        weights="lora",
    ),
}


def method_spec(name: str) -> MethodSpec:
    """The registry's entry, or one made for `package.module:Name` (meta-trained where the class is trainable).

    Raises:
        UserError: an unknown name.
    """
    if ":" in name:
        cls = load_named(name)
        if not (isinstance(cls, type) and issubclass(cls, Method)):
            raise UserError(f"{name} is not a metaicl.methods.base.Method")
        trained = bool(getattr(cls, "trainable", False))
        return MethodSpec(name, name.partition(":")[2], trained=trained, weights=getattr(cls, "weights", None))
    if name not in METHODS:
        raise UserError(f"no method {name!r}", fix=f"{nearest(name, METHODS)} Or name your own as package.module:Name.")
    return METHODS[name]
