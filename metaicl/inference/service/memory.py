"""How much memory a fitted task holds by itself: what can be reached from it and not from the model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch

LEAST = 16 << 10  # of a fitted task: objects, texts, tokens


def held_bytes(found: Any, apart_from: tuple[Any, ...] = ()) -> int:
    """Return the bytes of all tensors and arrays that can be reached from an object; memory that several share counts
    once.

    Args:
        apart_from: objects that count nothing, nor does what is reached through them; nor do the weights of modules
            among them.
    """
    seen = {id(one) for one in apart_from}
    storages = {
        parameter.untyped_storage().data_ptr()
        for one in apart_from
        if isinstance(one, torch.nn.Module)
        for parameter in (*one.parameters(), *one.buffers())
    }
    waiting, size = [found], LEAST
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, torch.Tensor):
            storage = one.untyped_storage()
            if storage.data_ptr() not in storages:
                storages.add(storage.data_ptr())
                size += storage.nbytes()
        elif isinstance(one, np.ndarray):
            size += one.nbytes if one.base is None else 0
            waiting += [one.base] if one.base is not None else []
        else:
            waiting += _within(one)
    return size


def _within(one: Any) -> list[Any]:
    """Return what an object refers to; nothing of classes, modules and what has no content."""
    if isinstance(one, str | bytes | int | float | type | None):
        return []
    if isinstance(one, Mapping):
        return list(one.values())
    if isinstance(one, list | tuple | set | frozenset):
        return list(one)
    if isinstance(one, partial):
        return [one.func, *one.args, *one.keywords.values()]
    if isinstance(one, MethodType):
        return [one.__self__]
    if isinstance(one, FunctionType):
        return list(one.__closure__ or ())
    if isinstance(one, CellType):
        return [one.cell_contents] if one != CellType() else []
    slots = [getattr(one, name, None) for cls in type(one).__mro__ for name in _slots(cls)]
    return [*slots, *getattr(one, "__dict__", {}).values()]


def _slots(cls: type) -> tuple[str, ...]:
    names = cls.__dict__.get("__slots__", ())
    return (names,) if isinstance(names, str) else tuple(names)
