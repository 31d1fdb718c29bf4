"""The last layer's feed-forward network, run at the requested positions of a row.

No token sees what the last layer's network gives another one. Where few positions of a row are scored, the others' pass
through it is of no use: two thirds of a layer, which is much for inner loops, which run only the upper layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from metaicl.lm.refused import Refused


class LastNetwork:
    """Skips work in one stack of decoder layers; it does nothing where the last layer has no module `mlp`."""

    def __init__(self, layers: nn.ModuleList):
        self.module: nn.Module | None = getattr(layers[-1], "mlp", None) if len(layers) else None

    @contextmanager
    def at(self, places: Tensor | None) -> Iterator[None]:
        """Return a context in which the network gives zeros at all other positions (None: all are requested).

        The forward pass raises `Refused` where the network takes or gives anything but one row of hidden states.
        """
        if self.module is None or places is None:
            yield
            return
        shapes: list[Tensor] = []

        def narrow(module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Any]) -> Any:
            if len(args) != 1 or kwargs or args[0].dim() != 3:
                raise Refused("its last network takes something else than a row of hidden states")
            shapes.append(args[0])
            return (args[0].index_select(1, places),), kwargs

        def widen(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            if not isinstance(output, Tensor):
                raise Refused(f"its last network gives {type(output).__name__}, not a row of hidden states")
            whole = shapes.pop()
            return output.new_zeros(*whole.shape[:-1], output.shape[-1]).index_copy(1, places, output)

        with ExitStack() as stack:
            stack.callback(self.module.register_forward_pre_hook(narrow, with_kwargs=True).remove)
            stack.callback(self.module.register_forward_hook(widen).remove)
            yield
