"""The output embedding at the positions that are requested, in float32, and never all its logits at once.

A bf16 logit near 20 is rounded to steps of 1/8, which is more than what separates many options; so the hidden states
and the embedding are multiplied in float32, block by block of the vocabulary, and only the log-sum-exp is kept. A
`Tap` takes the hidden states where they enter the embedding of any transformers model, without forking it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from metaicl.lm.attention.kernel import fused_attention, serves_bf16
from metaicl.lm.refused import Refused

BLOCK = 4096  # vocabulary entries at once
FEW = 32  # rows up to which the fused kernel is the quicker one
PIECE = 256  # rows of a narrow embedding that are widened at once on a CPU: they stay in its cache


class Tap:
    """A context in which `head` passes nothing through; what came in, and the weights in use, are kept here.

    Its end raises `Refused` where the head was not called exactly once.

    Attributes:
        states: `[..., width]` hidden states that entered.
        weight: `[vocabulary, width]`.
        bias: `[vocabulary]` or None.
    """

    states: Tensor
    weight: Tensor
    bias: Tensor | None

    def __init__(self, head: nn.Linear):
        self.head = head
        self.times = 0  # that the head was called

    def _take(self, head: Any, args: tuple[Tensor, ...]) -> tuple[Tensor]:
        self.times += 1
        self.states, self.weight, self.bias = args[0], head.weight, head.bias
        return (args[0][..., :0, :],)

    def __enter__(self) -> Tap:
        self.hook = self.head.register_forward_pre_hook(self._take)
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        self.hook.remove()
        if kind is None and self.times != 1:
            raise Refused(f"its forward pass goes {self.times} times through its output embedding, not once")


def hands_on(head: nn.Module, run: Callable[[], Tensor]) -> bool:
    """Return whether a model's logits (what `run` gives) are what its output embedding gives, whatever that is.

    A soft cap or a scale does nothing to small logits, so its output is replaced by large ones.
    """
    planted: list[Tensor] = []

    def plant(module: nn.Module, args: Any, output: Tensor) -> Tensor:
        values = torch.linspace(-60, 60, output.numel(), dtype=output.dtype, device=output.device)
        planted.append(values.view_as(output))
        return planted[-1]

    hook = head.register_forward_hook(plant)
    try:
        found = run()
    finally:
        hook.remove()
    return len(planted) == 1 and torch.equal(wide(found).flatten(), wide(planted[0]).flatten())


def wide(states: Tensor) -> Tensor:
    """Return it in float32, or in float64 where it is so already."""
    return states.to(torch.promote_types(states.dtype, torch.float32))


def logits(states: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return `[rows, vocabulary]` in float32 at least."""
    return torch.cat([_block(states, weight, bias, start) for start in range(0, len(weight), BLOCK)], -1)


def log_softmax_at(states: Tensor, weight: Tensor, bias: Tensor | None, rows: Tensor, targets: Tensor) -> Tensor:
    """log softmax after `states[rows]` at the tokens `targets`: float32 at least, `[len(rows)]`."""
    inputs = wide(states)
    with torch.autocast(states.device.type, enabled=False):
        chosen = (inputs[rows] * wide(weight[targets])).sum(-1)
        if bias is not None:
            chosen = chosen + wide(bias[targets])
        return chosen - LogSumExp.apply(inputs, weight, bias, states.dtype == weight.dtype == torch.bfloat16)[rows]


class LogSumExp(torch.autograd.Function):
    """log-sum-exp `[rows]` over the vocabulary of `states @ weight.T + bias`, twice differentiable.

    `narrow` says that the states were bf16 before they were widened, as the weight still is.
    """

    @staticmethod
    def forward(states: Tensor, weight: Tensor, bias: Tensor | None, narrow: bool = False) -> Tensor:
        if narrow and bias is None and _is_fused(states):
            return _fused(states.to(weight.dtype), weight)
        parts = [torch.logsumexp(_block(states, weight, bias, start), -1) for start in range(0, len(weight), BLOCK)]
        return torch.logsumexp(torch.stack(parts), 0)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:3], output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        states, weight, bias, lse = ctx.saved_tensors
        _, for_weight, for_bias, _ = ctx.needs_input_grad
        into_states, into_weight, into_bias = torch.zeros_like(states), [], []
        for start in range(0, len(weight), BLOCK):
            share = (_block(states, weight, bias, start) - lse[:, None]).exp() * grad[:, None]
            into_states = into_states + share @ wide(weight[start : start + BLOCK])
            if for_weight:
                into_weight.append((share.T @ states).to(weight.dtype))
            if for_bias:
                into_bias.append(share.sum(0).to(bias.dtype))
        return (
            into_states,
            torch.cat(into_weight) if for_weight else None,
            torch.cat(into_bias) if for_bias else None,
            None,
        )


def _is_fused(states: Tensor) -> bool:
    """Return whether `_fused` serves, and is the quicker way."""
    return states.device.type == "cpu" and 0 < len(states) <= FEW and serves_bf16()


def _fused(states: Tensor, weight: Tensor) -> Tensor:
    """Return the log-sum-exp of bf16 states and a bf16 weight, in float32, without widening either.

    The vocabulary is read as the keys of attention. PyTorch's fused kernel adds the products up in float32 and returns
    the log-sum-exp of each query's scores. A thread takes a part of the vocabulary, as if it were a head.
    """
    parts = min(torch.get_num_threads(), len(weight))
    even = len(weight) // parts * parts
    keys = weight[:even].unflatten(0, (parts, -1))[None]
    queries = states.expand(1, parts, *states.shape)
    _, found = fused_attention(queries, keys, keys, 1.0)
    rest = torch.logsumexp(_product(wide(states), weight[even:]), -1)
    return torch.logsumexp(torch.cat([found[0], rest[None]]), 0)


def _block(states: Tensor, weight: Tensor, bias: Tensor | None, start: int) -> Tensor:
    part = _product(wide(states), weight[start : start + BLOCK])
    return part if bias is None else part + wide(bias[start : start + BLOCK])


def _product(states: Tensor, weight: Tensor) -> Tensor:
    """Return `states @ weight.T` in the precision of the states.

    For a few rows most of the time would go into widening the weights, and most of that into new memory. So where no
    gradient is wanted they are widened piece by piece in one buffer: the same numbers.
    """
    if weight.dtype == states.dtype or weight.device.type != "cpu" or torch.is_grad_enabled():
        return states @ weight.to(states.dtype).T
    found = states.new_empty(len(states), len(weight))
    widened = states.new_empty(min(PIECE, len(weight)), weight.shape[1])
    for start in range(0, len(weight), PIECE):
        piece = weight[start : start + PIECE]
        torch.mm(states, widened[: len(piece)].copy_(piece).T, out=found[:, start : start + len(piece)])
    return found
