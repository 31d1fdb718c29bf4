"""Attention with second derivatives: fused kernels have first derivatives only."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from task_suites.core.errors import UserError

if TYPE_CHECKING:
    from metaicl.lm.backbone import Backbone

log = logging.getLogger("metaicl")


@contextmanager
def twice_differentiable(backbone: Backbone) -> Iterator[None]:
    """Return a context in which a backbone's log-probabilities have second derivatives in the learned weights.

    The tree's blocks run as plain products, FlexAttention gives way to a dense mask, and SDPA to its plain mathematics.

    Raises:
        UserError: `attn_implementation` names a fused kernel, the model takes no dense mask, its weights are
            quantized, or it runs Liger's kernels.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel

    if (bits := backbone.config.quantization) != "none":
        raise UserError(
            f"second derivatives are requested, and products with weights in {bits} have none",
            fix="Choose a first-order method (fomaml, reptile), or leave quantization out.",
        )
    if backbone.config.use_liger_kernel:
        raise UserError(
            "second derivatives are requested, and Liger's kernels have first derivatives only",
            fix="Choose a first-order method (fomaml, reptile), or leave use_liger_kernel out.",
        )
    before = backbone.attention
    if before in ("tree", "flex") and backbone.config.attn_implementation == before:
        raise UserError(
            "second derivatives are requested, and a fused attention has none",
            found=f"attn_implementation {before}",
            expected="auto, dense or plain",
        )
    if before == "flex":
        if reason := backbone.dense_refusal:
            raise UserError(
                f"{backbone.config.model} takes no dense mask, so it has no second derivatives here",
                found=reason,
                fix="Run it with --attn_implementation plain, or choose a first-order method.",
            )
        backbone.run_with("dense")
    if before in ("tree", "flex") and not backbone.reported_second_order:
        log.info("Second order: attention runs without fused kernels, which have one derivative")
        backbone.reported_second_order = True
    outer, backbone.smooth = backbone.smooth, True
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        backbone.smooth = outer
        if before == "flex":
            backbone.run_with("flex")
