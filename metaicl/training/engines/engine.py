"""Each process holds the whole model: one process, or several whose gradients PyTorch's DDP averages."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from metaicl.methods.base import Method
from metaicl.training.checkpoint import load_weights
from metaicl.training.config import TrainerConfig
from metaicl.training.optimizer import make_optimizer

if TYPE_CHECKING:
    from accelerate import Accelerator

OptimizerState = dict[str, Any]


class Engine:
    """What the outer loop asks of the processes: passes, steps, and the weights as they lie in each process.

    Attributes:
        in_step: whether all processes have to go through the model equally often.
        wrapped: the object to call instead of the method.
        optimizer: of the learned weights.
    """

    in_step = False

    def __init__(self, method: Method, config: TrainerConfig, accelerator: Accelerator):
        self.method, self.config, self.accelerator = method, config, accelerator
        self.wrapped, self.optimizer = self.prepared()

    def prepared(self) -> tuple[Any, Any]:
        """Return the method and its optimiser as this engine runs them.

        Raises:
            UserError: the engine cannot train the method.
        """
        both: tuple[Any, Any] = self.accelerator.prepare(self.method, self.new_optimizer())
        return both

    def new_optimizer(self) -> torch.optim.Optimizer:
        """Return an optimiser of the learned weights as they lie in this process."""
        return make_optimizer(list(self.method.learned().values()), self.config)

    # -- a step --------------------------------------------------------------------------------------------------

    def adding(self, last: bool) -> AbstractContextManager[Any]:
        """Return the context of a forward and backward pass. Its gradients are added to those of the step's passes
        before; after the last one they are averaged over the processes."""
        return torch.enable_grad() if last else self.accelerator.no_sync(self.wrapped)

    def backward(self, loss: Tensor, last: bool) -> None:
        """Run a backward pass (see `adding`)."""
        self.accelerator.backward(loss)

    def step(self, factor: float, rate: float) -> float:
        """Multiply the gradients by a factor, clip them, and take the optimiser's step at a rate.

        Returns:
            the gradients' norm before they were clipped; where it is not finite, no step was taken.
        """
        norm = self.scaled(factor)
        if math.isfinite(norm):
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.optimizer.step()
            self.optimizer.zero_grad()
        return norm

    def scaled(self, factor: float) -> float:
        """Multiply the gradients by a factor and clip them; return their norm before they were clipped."""
        learned = list(self.method.learned().values())
        for p in learned:
            if p.grad is not None:
                p.grad.mul_(factor)
        return float(self.accelerator.clip_grad_norm_(learned, self.config.max_grad_norm) or 0.0)

    # -- the state -----------------------------------------------------------------------------------------------

    def held(self) -> dict[str, Tensor]:
        """Return the learned weights as they lie in this process."""
        return dict(self.method.learned())

    def shapes(self) -> dict[str, Tensor]:
        """Return tensors of the shapes and types of the whole learned weights; their values do not matter."""
        return self.held()

    def whole(self, held: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return whole tensors for some that lie as the learned weights do. All processes take part."""
        return dict(held)

    def cut(self, whole: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return whole tensors, by the names of learned weights, as those lie in this process."""
        return {name: value.to(self.accelerator.device) for name, value in whole.items()}

    def put(self, whole: Mapping[str, Tensor]) -> None:
        """Put whole tensors into the learned weights, to train them further."""
        values = self.cut(whole)
        with torch.no_grad():
            for name, weight in self.held().items():
                weight.copy_(values[name])

    def optimizer_state(self) -> OptimizerState:
        """Return the optimiser's state with whole tensors. All processes take part."""
        state: OptimizerState = self.optimizer.state_dict()
        return state

    def load_optimizer_state(self, state: OptimizerState, backward: Callable[[], object]) -> None:
        """Load what `optimizer_state` of any engine returned.

        Args:
            backward: makes gradients, for an engine that has no state before its first step.
        """
        self.optimizer.load_state_dict(state)

    # -- saving --------------------------------------------------------------------------------------------------

    def saving(self) -> AbstractContextManager[Any]:
        """Return a context in which adapters and the method's own weights are whole. All processes take part."""
        return nullcontext()

    def model_state(self) -> dict[str, Tensor] | None:
        """Return the state dict of a model that is learned with whole tensors on the CPU; None where the model has it,
        or its own weights are not learned. All processes take part."""
        return None

    def load(self, folder: Path) -> None:
        """Load saved weights into the method, which is not trained further."""
        load_weights(self.method, folder)
