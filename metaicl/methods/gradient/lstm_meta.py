"""The LSTM meta-learner (Ravi and Larochelle 2017, "Optimization as a model for few-shot learning"): the inner update
is the cell of an LSTM whose state is the weights themselves.

    c_t = f_t * c_{t-1} - i_t * grad_t        f_t, i_t = sigmoid(W [h_t, c_{t-1}, gate_{t-1}] + b)

c_0, the start, is learned. h_t is the output of another LSTM over the gradient and the loss, both preprocessed. All
weights ("coordinates") share the two networks, each with a memory of its own. Gradients and losses of the learner are
constants. The gates start near f = 0.99 and i = `inner_lr`, which is a gradient step with a little decay.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from metaicl.lm.backbone import Backbone, Params
from metaicl.methods.base import RATE, Space, seeded
from metaicl.methods.gradient.inner_loop import Update, flat, unflatten_like
from metaicl.methods.gradient.maml import MAML
from task_suites.core.ranges import Count, Natural, Range
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat


class LSTMMeta(MAML):
    """The LSTM meta-learner. See the module's docstring."""

    label = "LSTM meta-learner"
    note = "the inner update is an LSTM's, learned"
    paper = "Ravi and Larochelle 2017, Optimization as a model for few-shot learning"
    space: ClassVar[Space] = {**RATE, "options.inner_lr": ("log", 0.03, 0.9)}

    @dataclass(frozen=True)
    class Config(MAML.Config):
        """The options of the LSTM meta-learner.

        Attributes:
            order: has to be 1, since gradients are constants.
            learn_rates: has to be false, since the gates are the rates.
            hidden: the width of the first LSTM.
            inner_lr: the input gate at the start of meta-training.
            forget: the forget gate at the start of meta-training.
        """

        inner_lr: Annotated[float, Range(above=0, below=1)] = 0.7
        order: Literal[1] = 1
        test_steps: Natural | None = None
        learn_rates: Literal[False] = False
        hidden: Count = 20
        forget: Annotated[float, Range(above=0, below=1)] = 0.99

    config: Config

    def __init__(self, backbone: Backbone, form: PromptFormat, config: Config):
        super().__init__(backbone, form, config)
        self.optimizer = CellOptimizer(config.hidden, config.inner_lr, config.forget)

    def rule(self, support: Sequence[Example]) -> Update:
        clip, cell = self.clipped, self.optimizer.begin()

        def step(params: Params, grads: Sequence[Tensor], number: int, loss: Tensor) -> dict[str, Tensor]:
            return unflatten_like(cell(flat(params.values()), flat(clip(grads)), loss), params)

        return step


class CellOptimizer(nn.Module):
    """The two networks, over coordinates: `begin` gives one inner loop's update of all of them."""

    def __init__(self, hidden: int = 20, inner_lr: float = 0.01, forget: float = 0.99):
        super().__init__()
        self.lstm = nn.LSTMCell(4, hidden)
        self.forget_gate, self.input_gate = nn.Linear(hidden + 2, 1), nn.Linear(hidden + 2, 1)
        with torch.no_grad():
            for number, p in enumerate(self.parameters()):  # small, so that the gates' biases decide at first
                p.copy_(0.02 * torch.rand(p.shape, generator=seeded("lstm_meta", number)) - 0.01)
            self.forget_gate.bias.fill_(_logit(forget))
            self.input_gate.bias.fill_(_logit(inner_lr))

    def begin(self) -> Any:
        """Return a call (weights `[n]`, gradients `[n]`, loss) -> weights `[n]` that remembers its own earlier
        steps."""
        memory: dict[str, Any] = {"lstm": None, "f": 0.0, "i": 0.0}

        def step(weights: Tensor, grads: Tensor, loss: Tensor) -> Tensor:
            seen = torch.cat([preprocessed(grads), preprocessed(loss).expand(len(grads), 2)], 1)
            memory["lstm"] = self.lstm(seen, memory["lstm"])
            gates = {}
            for name, gate in (("f", self.forget_gate), ("i", self.input_gate)):
                last = memory[name] if torch.is_tensor(memory[name]) else torch.zeros_like(weights)
                gates[name] = torch.sigmoid(gate(torch.cat([memory["lstm"][0], weights[:, None], last[:, None]], 1)))
                memory[name] = gates[name] = gates[name][:, 0]
            return gates["f"] * weights - gates["i"] * grads

        return step


def preprocessed(x: Tensor, p: float = 10.0) -> Tensor:
    """Return `[..., 2]`: (log|x| / p, sign x) where |x| >= e^-p, else (-1, e^p x); continuous where the two meet."""
    x = x.detach()
    large = x.abs() >= math.exp(-p)
    size = torch.where(large, x.abs().clamp(min=math.exp(-p)).log() / p, -torch.ones_like(x))
    return torch.stack([size, torch.where(large, x.sign(), math.exp(p) * x)], -1)


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability))
