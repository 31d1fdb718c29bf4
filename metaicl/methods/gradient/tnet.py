"""T-net and MT-net (Lee and Choi 2018, arXiv 1801.05558): a learned metric, and a learned subspace, of the inner steps.

A layer y = W x becomes y = T W x. Inner steps move only W; T is meta-learned, and through it the product T W moves by
-a T T^t dL/d(TW): T T^t is the metric of the step. Here W is a LoRA adapter and T stands on its output, which is
y = W_0 x + s T B A x with T the identity at the start. The model is as it was: it is called with T B instead of B.

In MT-net a mask says which output units of A and of B an inner step moves: one Bernoulli variable a unit and task, with
learned probability, by a Gumbel-softmax of two outcomes (a logistic variable) whose hard value goes forward and whose
soft one has the gradient. Its noise is a function of the support set, in meta-training as at test.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from metaicl.lm.backbone import Backbone, Params
from metaicl.methods.base import seeded, unordered_keys
from metaicl.methods.gradient.inner_loop import Update
from metaicl.methods.gradient.maml import MAML
from metaicl.methods.options import ReadUnless
from metaicl.methods.predictor import Predictor
from task_suites.core.errors import UserError
from task_suites.core.ranges import Positive, Range
from task_suites.episodes import Episode
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Task


class TNet(MAML):
    """T-net. See the module's docstring."""

    label = "T-net"
    note = "MAML under a learned linear map of each adapter's output"
    paper = "Lee and Choi 2018, arXiv 1801.05558"

    @dataclass(frozen=True)
    class Config(MAML.Config):
        """The options of T-net and MT-net.

        Attributes:
            mask: whether it is learned which units an inner step moves (MT-net).
            moving: with `mask`, the probability that a unit moves at the start of meta-training.
            temperature: with `mask`, the temperature of its soft value.
        """

        mask: bool = False
        moving: Annotated[float, Range(above=0, below=1)] = 0.5
        temperature: Positive = 1.0
        read_unless: ClassVar[ReadUnless] = {
            **MAML.Config.read_unless,
            "moving": ("mask", False),
            "temperature": ("mask", False),
        }

    config: Config

    def __init__(self, backbone: Backbone, form: PromptFormat, config: Config):
        super().__init__(backbone, form, config)
        outputs = {n: p for n, p in self.start().items() if ".lora_B." in n}
        if not outputs:
            raise UserError("T-net transforms the output of adapters", found="no LoRA weights", expected="weights lora")
        self.places = {n: i for i, n in enumerate(outputs)}
        self.transforms = nn.ParameterList(torch.eye(len(p), dtype=p.dtype, device=p.device) for p in outputs.values())
        logit = math.log(config.moving / (1 - config.moving))
        rows = [torch.full((len(p), 1), logit, dtype=p.dtype, device=p.device) for p in self.start().values()]
        self.mask_logits = nn.ParameterList(rows if config.mask else [])

    def transformed(self, params: Params) -> dict[str, Tensor]:
        """Return the weights with which the backbone is called: T B instead of each B."""
        return {n: self.transforms[self.places[n]] @ p if n in self.places else p for n, p in params.items()}

    def support_loss(self, task: Task, support: Sequence[Example], params: Params) -> Tensor:
        return super().support_loss(task, support, self.transformed(params))

    def query_loss(self, episode: Episode, params: Params) -> tuple[Tensor, Tensor]:
        return super().query_loss(episode, self.transformed(params))

    def rule(self, support: Sequence[Example]) -> Update:
        step = super().rule(support)
        if not len(self.mask_logits):
            return step
        masks = self.masks(support)

        def masked(params: Params, grads: Sequence[Tensor], number: int, loss: Tensor) -> dict[str, Tensor]:
            after = step(params, grads, number, loss)
            return {n: p + m * (after[n] - p) for (n, p), m in zip(params.items(), masks, strict=True)}

        return masked

    def masks(self, support: Sequence[Example]) -> list[Tensor]:
        """0 or 1 for each output unit of each adapted weight `[units, 1]`, whatever the order of the support set."""
        generator = seeded("mtnet", unordered_keys(support))
        found = []
        for logits in self.mask_logits:
            uniform = torch.rand(logits.shape, generator=generator, dtype=logits.dtype).to(logits.device)
            soft = torch.sigmoid((logits + torch.logit(uniform, eps=1e-6)) / self.config.temperature)
            found.append((soft > 0.5).to(soft) + (soft - soft.detach()))
        return found

    def adapt(self, task: Task, support: Sequence[Example]) -> Predictor:
        self.check_serves(task)
        with torch.no_grad():
            params = self.transformed(self.inner(task, support))
        return self.model.predictor(task, support, params)


class MTNet(TNet):
    """MT-net: T-net with the mask."""

    label = "MT-net"
    note = "T-net with a learned choice of which units move"
    paper = TNet.paper

    @dataclass(frozen=True)
    class Config(TNet.Config):
        mask: bool = True
