"""A training's pass without data: the memory that its tensors take, and its operations.

A model on PyTorch's meta device has shapes and no data. A method's loss and its backward pass run there as they would
on a real device, and each tensor is followed from its first use to its release. Attention is taken to be causal over
its row. Its queries' and keys' products are never stored, but where second derivatives need them. Keys and values that
several heads share are counted for each head. All this makes the counts a few percent too large.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from metaicl.lm import output_head
from metaicl.lm.backbone import Backbone, Params
from metaicl.lm.choice import Choice
from metaicl.lm.config import BackboneConfig
from metaicl.lm.loading import open_tokenizer
from metaicl.lm.model_inputs import ModelInputs
from metaicl.lm.prompt_tree import Packed

ATTENTION = "metaicl_plan"


class Shapes(Backbone):
    """A backbone on the meta device. It runs as nearly all models do: prefixes shared, our own output head, and the
    last network at the wanted positions."""

    def __init__(self, model: Any, tokenizer: Any, config: BackboneConfig):
        plain = replace(config, attn_implementation="plain")
        super().__init__(model, tokenizer, plain, Choice("plain", True, not config.gradient_checkpointing))
        register()
        self.model.set_attn_implementation(ATTENTION)  # type: ignore[operator]

    def shares(self, length: int) -> bool:
        return True

    def precision(self) -> AbstractContextManager[Any]:
        """Return no autocast, which the meta device has not: the weights have the precision of the products."""
        return nullcontext()

    def _attention_inputs(self, row: Packed, prefix: int) -> dict[str, Any]:
        return {"attention_mask": torch.zeros(1, 1, 1, 1, device="meta")}  # so that transformers makes none

    def _log_softmax_at(
        self, inputs: ModelInputs, params: Params | None, keep: Tensor | None, rows: Tensor, targets: Tensor
    ) -> Tensor:
        assert self.head is not None
        tap = self._tapped(self.head, inputs, params, keep)
        states = output_head.wide(tap.states[0])
        chosen = (states[rows] * output_head.wide(tap.weight[targets])).sum(-1)
        total: Tensor = output_head.LogSumExp.apply(states, tap.weight, tap.bias)
        return chosen - total[rows]


def shapes(config: BackboneConfig) -> Shapes:
    """Return the model of a configuration, with what it learns and without data.

    Raises:
        UserError: there is no such model, or its files have never been fetched.
    """
    from transformers import AutoModelForCausalLM

    dtype = torch.float32 if config.dtype == "float32" else torch.bfloat16
    about, tokenizer = open_tokenizer(config.model, config.on_hub())
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(about, dtype=dtype)
    return Shapes(model, tokenizer, config).to(dtype)


def most_memory(model: torch.nn.Module, loss: Callable[[], Tensor], again: bool = False) -> int:
    """Return the most bytes that live at one time of a forward and backward pass, beside the weights, less the bytes of
    all gradients of weights.

    Args:
        again: whether gradients of an earlier pass are there, to which those of this one are added. Without, they come
            into being as activations go, so that the two are never whole at the same time.
    """
    with _all_chosen():
        if again:
            loss().backward()
        with Living(model.parameters()) as living:
            loss().backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    most = living.most(gradients) if again else living.most([]) - sum(g.nbytes for g in gradients)
    model.zero_grad()
    return most


def operations(model: torch.nn.Module, loss: Callable[[], Tensor]) -> int:
    """Return the floating-point operations of a forward and backward pass.

    They are counted by themselves, since the counter keeps the tensors of checkpointed layers alive.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with _all_chosen(), FlopCounterMode(display=False) as counter:
        loss().backward()
    model.zero_grad()
    return counter.get_total_flops()


def _all_chosen() -> AbstractContextManager[Any]:
    """Return a context in which a mask without data chooses every row: the most that it may."""
    from torch.fx.experimental import _config

    return _config.patch(meta_nonzero_assume_all_nonzero=True)  # type: ignore[attr-defined]


class Living(TorchDispatchMode):
    """A context that notes when memory of tensors on the meta device begins to live, and when it ends.

    Args:
        known: tensors that are not counted.
    """

    def __init__(self, known: Iterable[Tensor]):
        super().__init__()
        self.changes: list[tuple[int, int]] = []  # (number of the memory, bytes; less than 0 where it ends)
        self.known = {t.untyped_storage()._cdata: t for t in known}  # kept, so that no other gets the address
        self.living: dict[int, tuple[int, Any]] = {}  # address -> (number, a reference whose callback runs at its end)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and tensor.device.type == "meta":
                self._note(tensor.untyped_storage())
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        address = storage._cdata
        if address in self.living or address in self.known:
            return
        number, count = len(self.changes), storage.nbytes()

        def end(_: Any) -> None:
            del self.living[address]
            self.changes.append((number, -count))

        self.living[address] = number, weakref.ref(storage, end)
        self.changes.append((number, count))

    def most(self, without: Iterable[Tensor]) -> int:
        """Return the most bytes that lived at one time, without some tensors that live now."""
        found = (self.living.get(t.untyped_storage()._cdata) for t in without)
        left_out = {entry[0] for entry in found if entry}
        return max(accumulate((count for number, count in self.changes if number not in left_out), initial=0))


def register() -> None:
    """Make an attention known to transformers that runs without data."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, _attention)


def _attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Any,
    scaling: float | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    groups = query.shape[1] // key.shape[1]
    key, value = (t.repeat_interleave(groups, 1) if groups > 1 else t for t in (key, value))
    if not torch.backends.cuda.flash_sdp_enabled():  # so it is wherever second derivatives are wanted
        products = (query @ key.transpose(2, 3)) * (scaling or query.shape[-1] ** -0.5)
        return (products.softmax(-1) @ value).transpose(1, 2), None
    flash = torch.ops.aten._scaled_dot_product_flash_attention
    return flash(query, key, value, 0.0, True, False, scale=scaling)[0].transpose(1, 2), None
