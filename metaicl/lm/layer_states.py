"""The hidden states at one layer, without running the layers above it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn


class _Reached(Exception):
    """A forward pass has come to the layer whose states are wanted."""

    def __init__(self, states: Tensor):
        self.states = states


def states_at(layers: Sequence[nn.Module] | nn.ModuleList, layer: int, run: Callable[[], object]) -> Tensor:
    """Return the hidden states that enter a decoder layer; the forward pass ends there.

    Args:
        layers: the decoder layers.
        layer: the layer's number, from 0 (the embeddings) to `len(layers) - 1`.
        run: the forward pass.

    Raises:
        AssertionError: the pass does not go through that layer.
    """
    if layer == 0:
        hook = layers[0].register_forward_pre_hook(_stop_before, with_kwargs=True)
    else:
        hook = layers[layer - 1].register_forward_hook(_stop_after)
    try:
        run()
    except _Reached as reached:
        return reached.states
    finally:
        hook.remove()
    raise AssertionError(f"the model does not go through its layer {layer}")


def _stop_before(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    raise _Reached(args[0] if args else kwargs["hidden_states"])


def _stop_after(layer: nn.Module, args: Any, output: Any) -> None:
    raise _Reached(output if isinstance(output, Tensor) else output[0])
