"""How fast a training is and what it takes: the numbers beside the loss in the progress bar, metrics.jsonl and the
trackers. They are those of this process."""

from __future__ import annotations

import sys
import time

import torch
from torch import nn

from metaicl.lm.backbone import Backbone
from metaicl.lm.devices import matmul_rate
from metaicl.methods.base import Method
from metaicl.methods.in_context.icl import InContext


class Pace:
    """Measures what a method's steps have done since this was made."""

    def __init__(self, method: Method):
        backbone = method.backbone
        one_pass = isinstance(method, InContext) and isinstance(backbone, Backbone)
        self.backbone = backbone
        self.per_token = token_operations(backbone) if one_pass else 0
        self.peak = matmul_rate(backbone.config.dtype, backbone.device.type) if self.per_token else 0.0
        self.started, self.tokens = time.monotonic(), backbone.tokens_run

    @property
    def seconds(self) -> float:
        """The seconds since this was made."""
        return max(1e-9, time.monotonic() - self.started)

    def values(self, queries: int) -> dict[str, float]:
        """Return tokens and queries a second, the most memory of this process so far in bytes, and the share of the
        operations a second of a matrix product on this device.

        Where the system does not say the memory, it is left out. So is the share for methods whose step is more than
        one pass forward and backward, and for models of which `token_operations` does not know the operations.

        Args:
            queries: how many there were since this was made.
        """
        seconds, memory = self.seconds, most_memory(self.backbone.device)
        tokens = (self.backbone.tokens_run - self.tokens) / seconds
        share = {"matmul_share": tokens * self.per_token / self.peak} if self.peak else {}
        peak = {"peak_memory": memory} if memory else {}
        return {"tokens_per_second": tokens, "queries_per_second": queries / seconds, **peak, **share}


def brief(values: dict[str, float]) -> dict[str, str]:
    """Return the values of a step as a progress bar shows them."""
    found = {"loss": f"{values['loss']:.3f}", "tok_s": f"{values['tokens_per_second']:.0f}"}
    found["q_s"] = f"{values['queries_per_second']:.1f}"
    if "peak_memory" in values:
        found["mem"] = f"{values['peak_memory'] / 1e9:.1f}GB"
    if "matmul_share" in values:
        found["matmul"] = f"{values['matmul_share']:.0%}"
    return found


def token_operations(backbone: Backbone) -> int:
    """Return the operations of a forward and backward pass for each token in the layers' linear maps; 0 where a layer
    has other large weights, such as a mixture of experts. Attention and the output embedding are not counted.

    A pass through a map has two operations for each weight: forward, to its input, to its weight where that learns, and
    forward again in a checkpointed layer. Layers below the first that learns only run forward.
    """
    from transformers.pytorch_utils import Conv1D

    total = 0
    for number, layer in enumerate(backbone.lower.layers):
        if any(p.dim() > 2 for p in layer.parameters()):
            return 0
        backward = 1 + backbone.config.gradient_checkpointing if number >= backbone.lower.count else 0
        for module in layer.modules():
            if isinstance(module, nn.Linear):
                total += 2 * module.in_features * module.out_features * (1 + backward + module.weight.requires_grad)
            elif isinstance(module, Conv1D):
                total += 2 * module.weight.numel() * (1 + backward + module.weight.requires_grad)
    return total


def most_memory(device: torch.device) -> int:
    """Return the most bytes that this process has had so far: of tensors on a GPU, else of its memory; 0 where the
    system does not say."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # on Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
