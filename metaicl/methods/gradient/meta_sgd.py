"""Meta-SGD (Li et al. 2017, arXiv 1707.09835): MAML with a learned rate for every single weight.

An inner step is theta' = theta - alpha * g, elementwise; theta and alpha are learned together. A rate may become
negative. For one step the gradient of a rate is -g_Q(theta') g_S(theta), which needs no second derivative of the model,
so rates are learned at order 1 too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from metaicl.lm.backbone import Backbone, Params
from metaicl.methods.gradient.inner_loop import gradient_step
from metaicl.methods.gradient.maml import MAML
from task_suites.formats.prompt_format import PromptFormat


class MetaSGD(MAML):
    """Meta-SGD. See the module's docstring."""

    label = "Meta-SGD"
    note = "MAML with a learned rate for every weight"
    paper = "Li et al. 2017, arXiv 1707.09835"

    @dataclass(frozen=True)
    class Config(MAML.Config):
        """The options of Meta-SGD.

        Attributes:
            inner_lr: the rates at the start of meta-training.
            learn_rates: has to be false, since each weight has a learned rate already.
        """

        learn_rates: Literal[False] = False

    config: Config

    def __init__(self, backbone: Backbone, form: PromptFormat, config: Config):
        super().__init__(backbone, form, config)
        self.alpha = nn.ParameterList(torch.full_like(p.detach(), config.inner_lr) for p in self.start().values())

    def update(self, params: Params, grads: Sequence[Tensor], step: int, loss: Tensor) -> dict[str, Tensor]:
        return gradient_step(params, grads, list(self.alpha))
