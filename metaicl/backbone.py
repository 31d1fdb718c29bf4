"""`Backbone`: a causal language model, its tokenizer and, where wanted, LoRA weights. Trees in, log-probabilities and
hidden states out.

A tree goes through the model as one row with an additive mask, so that each distinct token prefix is computed once. A
model that takes no such mask (a state-space model, a sliding window) is found out by a self-check at loading, said
once, and gets the tree's paths as plain sequences, with the same results.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from metaicl import tiny
from metaicl.config import BackboneConfig
from metaicl.models import resolve
from metaicl.prompt_tree import Packed, PromptTree, pack
from task_suites.errors import UserError

log = logging.getLogger("metaicl")
Params = Mapping[str, Tensor]


class Backbone(nn.Module):
    """See the module's docstring. `load` builds one by name; the constructor takes a model at hand."""

    def __init__(self, model: nn.Module, tokenizer: Any, config: BackboneConfig):
        super().__init__()
        self.config = config
        self.tokenizer = tokenizer
        self.model = _with_weights(model, config)
        self.model.eval()  # adapters carry no dropout; in-context losses want the same forward in training and scoring
        self.encode: Callable[[str], tuple[int, ...]] = lru_cache(maxsize=1 << 16)(self._encode)
        self.shape: Any = self.model.config
        self.tokens_run = 0  # tokens that went through the model, for speeds
        self.shares_prefixes = self._tree_equals_plain()
        if not self.shares_prefixes:
            log.warning(
                "%s takes no tree mask: every prompt runs as a plain sequence (slower, same results)", config.name
            )

    @classmethod
    def load(cls, config: BackboneConfig, initial_seed: int = 0) -> Backbone:
        """The backbone that `config` names; `initial_seed` seeds the new adapters.

        Raises:
            UserError: there is no such model, or it is no causal language model.
        """
        keep = torch.float32 if config.weights == "full" or config.precision == "fp32" else torch.bfloat16
        model, tokenizer = _open_model(config.name, keep)
        mine = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"  # each process of a launch has a GPU of its own
        device = (mine if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
        with torch.random.fork_rng():
            torch.manual_seed(initial_seed)
            return cls(model, tokenizer, config).to(device)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def context(self) -> int:
        """The longest sequence, in tokens, that the model takes."""
        return int(getattr(self.shape, "max_position_embeddings", 1 << 30))

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False).input_ids)

    def trainable(self) -> dict[str, nn.Parameter]:
        """The learned weights by name, as `params` of the calls below."""
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    @property
    def mask_dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.config.precision == "bf16" else torch.float32

    def precision(self) -> AbstractContextManager[Any]:
        """The context in which matrix products run in the configured precision."""
        if self.config.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def logprobs(
        self, forest: Sequence[PromptTree], wanted: Sequence[Sequence[int]], params: Params | None = None
    ) -> Tensor:
        """Log-probability of each wanted node given its path, tree by tree: float32, `[sum of len(wanted)]`.

        Differentiable in the learned weights, or in `params` where these stand in for them. A wanted node has a parent.
        """
        if not self.shares_prefixes:
            return torch.cat([self._plain_logprobs(t, w, params) for t, w in zip(forest, wanted, strict=True)])
        return self.row_logprobs(pack(forest), forest, wanted, params=params)

    def row_logprobs(
        self,
        row: Packed,
        forest: Sequence[PromptTree],
        wanted: Sequence[Sequence[int]],
        past: Any = None,
        params: Params | None = None,
    ) -> Tensor:
        """`logprobs` for a row packed before, continued from the cached prefix `past` where there is one."""
        parents = [row.row[i][t.parent[n]] for i, (t, ns) in enumerate(zip(forest, wanted, strict=True)) for n in ns]
        targets = torch.tensor(
            [t.tokens[n] for t, ns in zip(forest, wanted, strict=True) for n in ns], device=self.device
        )
        places, which = torch.unique(torch.tensor(parents), return_inverse=True)
        logits = self._run(row, past, params, logits_to_keep=places.to(self.device)).logits[0]
        return _log_softmax_at(logits, which.to(self.device), targets)

    def hidden(self, ids: Sequence[int], layer: int = -1, params: Params | None = None) -> Tensor:
        """Hidden states `[length, width]` (float32) of one plain sequence at a layer (0: embeddings, -1: the last)."""
        kwargs = {"input_ids": torch.tensor([list(ids)], device=self.device), "output_hidden_states": True}
        return self._call(params, {**kwargs, "use_cache": False}).hidden_states[layer][0].float()

    def prefix(self, ids: Sequence[int], params: Params | None = None) -> Any:
        """The key-value cache after `ids` (empty for no ids)."""
        from transformers import DynamicCache

        cache = DynamicCache()
        if ids:
            tree = PromptTree()
            tree.insert(-1, ids)
            self._run(pack([tree], leaves=True), cache, params, logits_to_keep=1)
        return cache

    def next_logits(self, row: Packed, mask: Tensor, past: Any, places: Sequence[int], params: Params | None) -> Tensor:
        """Logits `[len(places), vocabulary]` (float32) after some tokens of a row whose additive mask is given."""
        keep = torch.tensor(places, device=self.device)
        return self._run(row, past, params, mask=mask, logits_to_keep=keep).logits[0].float()

    def _run(self, row: Packed, past: Any, params: Params | None, mask: Tensor | None = None, **kwargs: Any) -> Any:
        if mask is None:
            mask = row.mask(self.mask_dtype, past.get_seq_length() if past is not None else 0)
        kwargs = {
            "input_ids": row.ids[None].to(self.device),
            "position_ids": row.positions[None].to(self.device),
            "attention_mask": mask.to(self.device),
            "use_cache": past is not None,
            "cache": past,
            **kwargs,
        }
        return self._call(params, kwargs)

    def _call(self, params: Params | None, kwargs: dict[str, Any]) -> Any:
        self.tokens_run += kwargs["input_ids"].numel()
        with self.precision():
            return functional_call(self.model, dict(params), (), kwargs) if params else self.model(**kwargs)

    def _plain_logprobs(self, tree: PromptTree, wanted: Sequence[int], params: Params | None) -> Tensor:
        """The slow way for models without a tree mask: one forward pass for each leaf's path."""
        has_child = set(tree.parent)
        found: dict[int, Tensor] = {}
        for leaf in (node for node in wanted if node not in has_child):
            path = tree.path(leaf)
            ids = [tree.tokens[n] for n in path]
            targets = torch.tensor(ids[1:], device=self.device)
            rows = torch.arange(len(targets), device=self.device)
            lp = _log_softmax_at(self.plain_logits(ids, params)[:-1], rows, targets)
            found.update({node: lp[i - 1] for i, node in enumerate(path) if i})
        return torch.stack([found[node] for node in wanted])

    def plain_logits(self, ids: Sequence[int], params: Params | None = None) -> Tensor:
        """Logits `[length, vocabulary]` (float32) of one plain sequence."""
        kwargs = {"input_ids": torch.tensor([list(ids)], device=self.device), "use_cache": False}
        return self._call(params, kwargs).logits[0].float()

    @torch.no_grad()
    def _tree_equals_plain(self) -> bool:
        """Whether a small tree's log-probabilities equal those of its plain sequences."""
        tree, size = PromptTree(), min(97, int(self.shape.vocab_size))
        trunk = tree.insert(-1, [i % size for i in (5, 11, 23, 7)])
        wanted = [n for ids in ((31, 41, 59), (2, 6, 5)) for n in tree.insert(trunk[-1], [i % size for i in ids])]
        plain = self._plain_logprobs(tree, wanted, None)
        try:
            shared = self.row_logprobs(pack([tree]), [tree], [wanted])
        except (TypeError, ValueError, RuntimeError, NotImplementedError):
            return False
        return bool((plain - shared).abs().max() < (1e-3 if self.config.precision == "fp32" else 0.25))

    def save(self, folder: Path) -> None:
        """Save the learned weights: a peft folder (LoRA), a whole transformers folder (full), nothing (frozen)."""
        if self.config.weights != "frozen":
            self.model.save_pretrained(folder)  # type: ignore[operator]
        if self.config.weights == "full":
            self.tokenizer.save_pretrained(folder)


def _open_model(name: str, dtype: torch.dtype) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as hf_logging

    if name == tiny.NAME:
        return tiny.tiny_model().to(dtype), tiny.tiny_tokenizer()
    source = resolve(name)
    shown = hf_logging.is_progress_bar_enabled()
    hf_logging.disable_progress_bar()  # a bar over 272 tensors that takes a second is noise
    try:
        return AutoModelForCausalLM.from_pretrained(source, dtype=dtype), AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise UserError(
            f"no causal language model {name!r}: {str(error).splitlines()[0]}",
            expected="a name of `metaicl models list`, a folder saved by transformers, or a hub name",
        ) from None
    finally:
        if shown:
            hf_logging.enable_progress_bar()


def _with_weights(model: Any, config: BackboneConfig) -> nn.Module:
    if config.weights == "full":
        return model
    model.requires_grad_(False)
    if config.weights == "frozen":
        return model
    from peft import LoraConfig, get_peft_model

    layers = model.config.num_hidden_layers
    upper = list(range(max(0, layers - config.lora_layers), layers)) if config.lora_layers else None
    targets: str | list[str] = config.lora_targets
    if targets != "all-linear":
        targets = config.lora_targets.split(",")
    elif upper:  # peft takes a choice of layers for named modules only
        targets = sorted(_linear_names(model))
    lora = LoraConfig(
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=0.0,
        target_modules=targets,
        layers_to_transform=upper,
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, lora)
    module: Any
    for module in adapted.modules():  # autocast casts the adapters' inputs anyway; peft's cast to float32 comes on top
        if hasattr(module, "cast_input_dtype_enabled"):
            module.cast_input_dtype_enabled = False
    return adapted


def _linear_names(model: Any) -> set[str]:
    """Last names of the modules that "all-linear" means: linear layers, the output embedding left out."""
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    linear = (n for n, m in model.named_modules() if isinstance(m, (nn.Linear, Conv1D)) and m is not head)
    return {name.rpartition(".")[2] for name in linear}


def _log_softmax_at(logits: Tensor, rows: Tensor, targets: Tensor) -> Tensor:
    """log softmax of `logits[rows]` at `targets`, in float32, with one log-sum-exp for each row of `logits`."""
    logits = logits.float()
    return logits[rows, targets] - torch.logsumexp(logits, -1)[rows]
