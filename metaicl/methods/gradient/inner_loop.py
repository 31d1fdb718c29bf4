"""The inner loop of gradient-based meta-learning: steps from shared weights to a task's own, over any loss of a dict of
tensors. No language model here.

What the steps leave in the graph of the start is its `order`:

    0  nothing: each step's weights are new leaves (adapting at test)
    1  the steps themselves, their gradients being constants: the outer gradient at the start is that at the adapted
       weights (FOMAML), and whatever the update learns, rates or gates, gets its own; memory is flat in the steps
    2  the gradients too: the outer gradient flows back through them (MAML)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from task_suites.core.errors import UserError, counted

Params = Mapping[str, Tensor]
Update = Callable[[Params, Sequence[Tensor], int, Tensor], dict[str, Tensor]]
DIVERGED = 10.0  # a loss of this many times its first value (and more than one above it)


def descend(
    loss_of: Callable[[Params], Tensor], start: Params, update: Update, count: int, order: int = 1, task: str = ""
) -> Iterator[dict[str, Tensor]]:
    """Yield the weights after each of `count` steps.

    Args:
        loss_of: the inner loss (a scalar) of some weights.
        update: the weights after a step, from those before it, their gradients, its number (from 0) and the loss, which
            is a constant.
        order: see the module's docstring.
        task: named in the error.

    Raises:
        UserError: the loop diverges: its loss is no longer finite, or ten times what it was. Where the steps leave
            nothing in a graph (order 0) the weights after the last one are checked too; else the outer loss does that.
    """
    params = dict(start) if order else leaves(start)
    losses: list[float] = []

    def seen(loss: Tensor) -> None:
        if loss.is_meta:  # no data, so no value to look at
            return
        losses.append(value := float(loss.detach()))
        if not value < max(DIVERGED * losses[0], losses[0] + 1.0):
            raise UserError(
                "the inner loop diverged" + (f" on task {task}" if task else ""),
                found=f"loss {value:.3g} after {counted(len(losses) - 1, 'inner step')}, {losses[0]:.3g} at the start",
                fix="Lower inner_lr or inner_steps, or clip gradients.",
            )

    for step in range(count):
        loss = loss_of(params)
        seen(loss)
        grads = gradients(loss, params, order)
        with torch.set_grad_enabled(order > 0):
            params = update(params, grads, step, loss.detach())
        if order == 0:
            params = leaves(params)
        if order == 0 and step == count - 1:
            with torch.no_grad():
                seen(loss_of(params))
        yield params


def last(steps: Iterable[Params], start: Params) -> Params:
    """Return the weights after the last of some steps, or the start; those between are not kept."""
    return next(iter(deque(steps, maxlen=1)), start)


def gradients(loss: Tensor, params: Params, order: int) -> tuple[Tensor, ...]:
    """Return the gradient of a loss at some weights, zeros where it does not touch them; in the graph at order 2."""
    return torch.autograd.grad(
        loss, list(params.values()), create_graph=order == 2, allow_unused=True, materialize_grads=True
    )


def gradient_step(
    params: Params, grads: Sequence[Tensor], rates: float | Sequence[float | Tensor]
) -> dict[str, Tensor]:
    """Return the weights less their gradients at one rate, or at a rate for each weight tensor (a number, or
    elementwise)."""
    each = [rates] * len(grads) if isinstance(rates, float | int) else rates
    return {n: p - rate * g for (n, p), g, rate in zip(params.items(), grads, each, strict=True)}


def clipped(grads: Sequence[Tensor], norm: float) -> Sequence[Tensor]:
    """Gradients scaled down to this norm over all of them where they are longer; 0 takes them as they are."""
    if not norm:
        return grads
    length = torch.sqrt(torch.stack([g.square().sum() for g in grads]).sum() + 1e-24)
    scale = torch.clamp(norm / length, max=1.0)
    return [g * scale for g in grads]


def leaves(params: Params) -> dict[str, Tensor]:
    """Return the same values outside of any graph."""
    return {n: p.detach().requires_grad_() for n, p in params.items()}


def flat(tensors: Iterable[Tensor]) -> Tensor:
    """Return all entries as one vector."""
    return torch.cat([t.flatten() for t in tensors])


def unflatten_like(vector: Tensor, params: Params) -> dict[str, Tensor]:
    """Return the entries of a vector in the names and shapes of some weights: the inverse of `flat`."""
    parts = vector.split([p.numel() for p in params.values()])
    return {n: part.view_as(p) for (n, p), part in zip(params.items(), parts, strict=True)}
