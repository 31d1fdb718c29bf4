"""The configuration of a model. No torch here: the command line shows its help from this file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

from task_suites.core.ranges import Count, Natural, check_ranges

MAIN = "main"  # the hub's name of a model's newest revision
NOTHING: Mapping[str, Any] = MappingProxyType({})
ENCODER = "minilm-l6"  # the sentence encoder of methods that need one, where none is named


@dataclass(frozen=True)
class BackboneConfig:
    """Which language model, and which of its weights are learned.

    Options that a method may choose are unset (`None`) until the user or the method gives them a value: a value that
    the user gives is never replaced (`metaicl.methods.resolved`).

    Attributes:
        model: a name of `metaicl models list`, a local folder or a hub name. It is a causal language model, or a
            sentence encoder for the methods that run on one.
        weights: the weights that are learned: "lora" (low-rank adapters), "full" (all weights) or "frozen" (none).
            Unset: what the method learns.
        lora_r: the rank of the adapters. Unset: that of the method, else 16.
        lora_alpha: adapters are scaled by lora_alpha / lora_r. Unset: twice lora_r.
        target_modules: the names of the modules that get adapters, "all-linear", or "query-value" (these two
            projections of the attention). Unset: those of the method, else "all-linear".
        lora_layers: the number of uppermost layers that get adapters; 0 means all. Unset: that of the method, else 0.
        use_rslora: scale adapters by lora_alpha / sqrt(lora_r) (Kalajdzievski 2023, arXiv 2312.03732).
        use_dora: also learn the length of each column of the weights (Liu et al. 2024, arXiv 2402.09353).
        dtype: the precision. "bfloat16" holds for base weights and matrix products; adapters and loss stay float32.
            "auto" takes the quicker one on this machine. A checkpoint keeps its precision.
        attn_implementation: how attention runs: "tree" (CPU), "flex" (CUDA), "dense" or "plain". "auto" takes the
            quickest one that is right for the model.
        gradient_checkpointing: save memory: compute layers again in the backward pass, which is slower.
        device: "auto", "cpu", "cuda" or another of this machine. "auto" takes a GPU if there is one.
        revision: branch, tag or commit of a hub model.
        trust_remote_code: run the Python code that is stored with a hub model.
        quantization: store the base weights in fewer bits, while adapters learn in float32: "4bit" (NF4, as in QLoRA,
            Dettmers et al. 2023, arXiv 2305.14314) or "8bit" (the extra `bitsandbytes`).
        use_liger_kernel: run norms and gated networks by Liger's Triton kernels (the extra `liger`), on CUDA GPUs.
            Methods with second derivatives cannot.
    """

    model: str = "smollm2-135m"
    weights: Literal["lora", "full", "frozen"] | None = None
    lora_r: Count | None = None
    lora_alpha: Count | None = None
    target_modules: str | None = None
    lora_layers: Natural | None = None
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    attn_implementation: Literal["auto", "tree", "flex", "dense", "plain"] = "auto"
    use_rslora: bool = False
    use_dora: bool = False
    gradient_checkpointing: bool = False
    device: str = "auto"
    revision: str = MAIN
    trust_remote_code: bool = False
    quantization: Literal["none", "4bit", "8bit"] = "none"
    use_liger_kernel: bool = False

    def __post_init__(self) -> None:
        check_ranges(self)

    def adapters(self) -> Adapters:
        """Return the adapters' settings, each with a value."""
        r = 16 if self.lora_r is None else self.lora_r
        alpha = 2 * r if self.lora_alpha is None else self.lora_alpha
        targets = "all-linear" if self.target_modules is None else self.target_modules
        return Adapters(r, alpha, targets, self.lora_layers or 0, self.use_rslora, self.use_dora)

    def on_hub(self) -> dict[str, Any]:
        """Return the arguments of `from_pretrained` for a hub model, beside its name."""
        told: dict[str, Any] = {} if self.revision == MAIN else {"revision": self.revision}
        return {**told, "trust_remote_code": True} if self.trust_remote_code else told

    def resolved(self) -> BackboneConfig:
        """Return the configuration with a value for each option that is unset."""
        lora = self.adapters()
        return replace(
            self,
            weights=self.weights or "lora",
            lora_r=lora.r,
            lora_alpha=lora.alpha,
            target_modules=lora.targets,
            lora_layers=lora.layers,
        )


@dataclass(frozen=True)
class Adapters:
    """The settings of LoRA adapters, by the names of `BackboneConfig` without their prefix."""

    r: int
    alpha: int
    targets: str
    layers: int
    rslora: bool
    dora: bool
