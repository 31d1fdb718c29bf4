"""The layers below the first learned weight, run once for each row within a context.

Inner loops run the same rows again with other upper weights. Where adapters sit in the upper third of a model, two
thirds of each forward pass are the same every time: their result is kept where it enters the first learned layer, and
later passes over the row begin there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn


class LowerLayers:
    """Runs the lower layers of one transformers model once. Outside of `once` it does nothing.

    Attributes:
        count: the layers below the first learned one; 0 where something below learns, or the model hides its layers.
    """

    def __init__(self, model: nn.Module):
        self.layers = _decoder_layers(model)
        self.count = _frozen_below(model, self.layers)
        self._kept: dict[Any, Tensor] | None = None

    @contextmanager
    def once(self) -> Iterator[None]:
        """Return a context in which the lower layers run once for each distinct row; what they gave is freed at its
        end."""
        outer, self._kept = self._kept, {} if self._kept is None else self._kept
        try:
            yield
        finally:
            self._kept = outer

    @contextmanager
    def of(self, row: tuple[Tensor | None, ...] | None) -> Iterator[None]:
        """Around one forward pass over a row: its token ids, positions and tree (None: nothing is kept)."""
        if not self.count or self._kept is None or row is None:
            yield
            return
        key = tuple(None if part is None else _content(part) for part in row)
        kept = self._kept.get(key)
        with ExitStack() as stack:
            if kept is None:
                hook = self.layers[self.count].register_forward_pre_hook(_keep_into(self._kept, key), with_kwargs=True)
                stack.callback(hook.remove)
                stack.callback(self.layers[0].register_forward_hook(self._stop_at_tuples).remove)
            else:
                for layer in self.layers[: self.count]:
                    layer.forward = _pass_through  # type: ignore[method-assign]
                    stack.callback(layer.__dict__.pop, "forward")
                hook = self.layers[self.count].register_forward_pre_hook(_replace_by(kept), with_kwargs=True)
                stack.callback(hook.remove)
            yield

    def _stop_at_tuples(self, layer: nn.Module, args: Any, output: Any) -> None:
        """Stop at a layer that gives more than hidden states and cannot be passed through: such a model shares
        nothing."""
        if not isinstance(output, Tensor):
            self.count, self._kept = 0, None


def _content(part: Tensor) -> Any:
    """Return what a tensor is known by: its values, or its shape where it has no data."""
    return tuple(part.shape) if part.is_meta else part.cpu().numpy().tobytes()


def _pass_through(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return hidden_states


def _keep_into(kept: dict[Any, Tensor], key: Any) -> Any:
    def hook(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        kept[key] = (args[0] if args else kwargs["hidden_states"]).detach()

    return hook


def _replace_by(states: Tensor) -> Any:
    def hook(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return ((states, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": states})

    return hook


def _decoder_layers(model: nn.Module) -> nn.ModuleList:
    """Return the stack of decoder layers, or an empty one."""
    count = getattr(getattr(model, "config", None), "num_hidden_layers", 0)
    found = (m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == count and count)
    return next(found, nn.ModuleList())


def _frozen_below(model: nn.Module, layers: nn.ModuleList) -> int:
    """Return how many layers come before the first that learns; 0 where a weight outside of the layers learns."""
    learning = {id(p) for p in model.parameters() if p.requires_grad}
    first = None
    for i, layer in enumerate(layers):
        mine = {id(p) for p in layer.parameters()} & learning
        if mine and first is None:
            first = i
        learning -= mine
    return first or 0 if not learning else 0
