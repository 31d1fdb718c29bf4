"""What is meta-trained on prompts: MetaICL (Min et al. 2022, arXiv 2110.15943), its channel form, in-context tuning
(Chen et al. 2022, arXiv 2110.07814), and multi-task learning, which has no demonstrations in its prompts.

Meta-training minimises the negative log-likelihood of the queries' answers given the demonstrations, or another
`objective`. All of them are `InContext` with other options, and with adapters that learn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from metaicl.methods.in_context.answer_loss import Objective
from metaicl.methods.in_context.icl import InContext
from metaicl.methods.label_prior import Calibration
from task_suites.core.ranges import Share
from task_suites.example import Form


class MetaICL(InContext):
    """MetaICL, learning by the options' cross-entropy and calibrated by the demonstrations."""

    label = "MetaICL"
    note = "meta-trained to answer from the demonstrations in its prompt"
    paper = "Min et al. 2022, arXiv 2110.15943"
    meta_trained = True
    weights = "lora"

    @dataclass(frozen=True)
    class Config(InContext.Config):
        objective: Objective = "options"
        calibration: Calibration = "cross_fit"
        prior_share: Share = 0.5


class MetaICLChannel(InContext):
    """MetaICL by the noisy channel: each option is scored by the likelihood of the input given it."""

    label = "MetaICL channel"
    note = "meta-trained to predict the input from the answer"
    paper = "Min et al. 2022, arXiv 2110.15943"
    meta_trained = True
    weights = "lora"
    required_format: ClassVar[Mapping[str, Any]] = {"channel": True}
    serves = frozenset[Form]({"options"})


class MetaICLAllAnswers(MetaICL):
    """MetaICL whose loss is on every answer in the prompt: the demonstrations', each given those before it, and the
    queries' (many-shot in-context fine-tuning). It costs no token more."""

    label = "MetaICL, all answers"
    note = "meta-trained to answer each demonstration from those before it, and the queries from all"
    paper = "He et al. 2025, arXiv 2506.11103"
    meta_trained = True
    weights = "lora"

    @dataclass(frozen=True)
    class Config(MetaICL.Config):
        objective: Objective = "tokens"
        supervise: Literal["queries", "all"] = "all"


class InContextTuning(InContext):
    """In-context tuning: the prompt begins with the task's instruction."""

    label = "ICT"
    note = "in-context tuning: MetaICL with the task's instruction in the prompt"
    paper = "Chen et al. 2022, arXiv 2110.07814"
    meta_trained = True
    weights = "lora"
    required_format: ClassVar[Mapping[str, Any]] = {"instruction": True}


class MultiTask(InContext):
    """Multi-task learning: meta-training without demonstrations."""

    label = "Multi-task"
    note = "meta-trained without demonstrations"
    meta_trained = True
    weights = "lora"

    @dataclass(frozen=True)
    class Config(InContext.Config):
        demonstrations: bool = False
        objective: Objective = "both"
