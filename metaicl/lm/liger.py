"""Liger's fused Triton kernels for a model's norms and gated networks (Hsu et al. 2024, arXiv 2410.10989)."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

from torch import nn

from metaicl.lm.config import BackboneConfig
from task_suites.core.errors import UserError, nearest

# what would change the model's outputs or other models: its loss is never asked for, and the rotation of positions is
# a function that all models of a kind share
LEFT_ALONE = {"rope": False, "cross_entropy": False, "fused_linear_cross_entropy": False}


def with_liger(model: Any, config: BackboneConfig, device: str) -> Any:
    """Return the model with Liger's kernels, where the configuration says `use_liger_kernel`.

    Raises:
        UserError: the device is not a CUDA GPU, the library is not installed, or it does not know the kind of model.
    """
    if not config.use_liger_kernel:
        return model
    if not device.startswith("cuda"):
        raise UserError(
            "use_liger_kernel is given, and the kernels run on CUDA GPUs only",
            found=f"device {device}",
            fix="Leave use_liger_kernel out.",
        )
    if find_spec("liger_kernel") is None:
        raise UserError(
            "use_liger_kernel is given, and the library liger-kernel is not installed",
            fix='Run: pip install "metaicl[liger]"',
        )
    return put_into(model, config.model)


def put_into(model: Any, name: str) -> Any:
    """Put the kernels into this model alone: the library also exchanges classes of the model's module, so that later
    models of the kind would have the kernels too, on a CPU as well.

    Args:
        name: of the model, for the error.

    Raises:
        UserError: the library does not know the kind of model, or nothing of it has a kernel.
    """
    from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN, _apply_liger_kernel_to_instance

    kind, code = model.config.model_type, vars(sys.modules[type(model).__module__])
    if kind not in MODEL_TYPE_TO_APPLY_LIGER_FN:
        fix = f"Leave use_liger_kernel out. {nearest(kind, MODEL_TYPE_TO_APPLY_LIGER_FN)}"
        raise UserError(f"Liger has no kernels for {name}", found=f"model type {kind}", fix=fix)
    before = dict(code)
    try:
        _apply_liger_kernel_to_instance(model=model, **LEFT_ALONE)
    finally:
        code.update(before)
    if not any(map(has_kernel, model.modules())):
        raise UserError(f"Liger has no kernels for {name}", found=f"model type {kind}", fix="Leave it out.")
    return model


def has_kernel(module: nn.Module) -> bool:
    """Return whether a module runs one of Liger's kernels."""
    return getattr(module.forward, "__module__", "").startswith("liger_kernel")
