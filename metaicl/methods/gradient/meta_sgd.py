"""Meta-SGD (Li et al. 2017, arXiv 1707.09835): MAML with a learned rate for every single weight.

An inner step is theta' = theta - alpha * g, elementwise; theta and alpha are learned together. A rate may become
negative. For one step the gradient of a rate is -g_Q(theta') g_S(theta), which needs no second derivative of the model,
so rates are learned at order 1 too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from metaicl.lm.backbone import Backbone, Params
from metaicl.methods.gradient.inner_loop import gradient_step
from metaicl.methods.gradient.maml import MAML
from task_suites.core.errors import UserError
from task_suites.formats.prompt_format import PromptFormat


class MetaSGD(MAML):
    """See the module's docstring; arguments are `MAML`'s, `inner_lr` being the rates' first value."""

    def __init__(self, backbone: Backbone, form: PromptFormat, **options: Any):
        super().__init__(backbone, form, **options)
        if self.rates is not None:
            raise UserError("Meta-SGD's rates are learned anyway", found="learn_rates", fix="Leave learn_rates out.")
        self.alpha = nn.ParameterList(torch.full_like(p.detach(), self.inner_lr) for p in self.start().values())

    def update(self, params: Params, grads: Sequence[Tensor], step: int, loss: Tensor) -> dict[str, Tensor]:
        return gradient_step(params, grads, list(self.alpha))
