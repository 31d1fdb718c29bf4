"""`Backbone`: a causal language model, its tokenizer and, where wanted, LoRA weights. Trees in, log-probabilities and
hidden states out.

A tree goes through the model as one row in which each token sees only its ancestors, so that each distinct token
prefix is computed once. The backbone's `attention` is how (metaicl/lm/attention/selection.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from functools import cached_property, partial
from itertools import takewhile
from operator import eq
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from metaicl.lm import choice_cache, output_head
from metaicl.lm.attention import flex as flex_attention
from metaicl.lm.attention import selection
from metaicl.lm.attention.plan import plan
from metaicl.lm.choice import Attention, Choice, Fallback
from metaicl.lm.config import BackboneConfig
from metaicl.lm.context_length import check_length
from metaicl.lm.devices import device_for, settled
from metaicl.lm.last_network import LastNetwork
from metaicl.lm.layer_states import states_at
from metaicl.lm.liger import with_liger
from metaicl.lm.loading import checkpoint_layers, open_model, with_weights
from metaicl.lm.lower_layers import LowerLayers
from metaicl.lm.model_inputs import ModelInputs
from metaicl.lm.models import Kind
from metaicl.lm.prompt_tree import Packed, PromptTree, best_fit, pack, parents_of
from metaicl.lm.quantized import keep_derivatives, quantized
from metaicl.lm.shared_work import SharedWork
from metaicl.lm.text_encoder import TextEncoder

Params = Mapping[str, Tensor]
HIDDEN_ROW = 2048  # most tokens of a packed row of plain sequences
NONE = torch.empty(0, dtype=torch.long)  # the positions whose logits are wanted where only states are


class Backbone(nn.Module):
    """See the module's docstring. `load` builds one by name; the constructor takes a model at hand.

    Attributes:
        fallbacks: the quicker ways that the model does not take, each with its reason.
    """

    kind: ClassVar[Kind] = "causal"

    def __init__(self, model: nn.Module, tokenizer: Any, config: BackboneConfig, choice: Choice | None = None):
        """`choice` is how a model is run that was checked before; None checks it now."""
        super().__init__()
        self.config = config = settled(config, str(next(model.parameters()).device))
        self.tokenizer = tokenizer
        self.model = with_weights(model, config)
        self.model.eval()  # adapters carry no dropout; in-context losses want the same forward in training and scoring
        self.texts = TextEncoder(tokenizer)
        if config.gradient_checkpointing:
            checkpoint_layers(self.model)
        self.model_config: Any = self.model.config
        self.tokens_run = 0  # tokens that went through the model, for speeds
        self.shared = SharedWork()  # of methods on a frozen backbone
        self.lower = LowerLayers(self.model)
        self.last = LastNetwork(self.lower.layers)
        self.window = selection.shared_depth(self.model_config)
        # one of ours, where the model belonged to another backbone before
        found = str(getattr(self.model_config, "_attn_implementation", None))
        ours = [implementation.NAME for implementation in selection.OURS.values()]
        self.own_implementation = "sdpa" if found in ours else found
        self.head: nn.Linear | None = None
        self.smooth = False  # whether second derivatives are wanted
        self.reported_second_order = False  # whether it has been reported what they cost
        self.run_with("plain")
        self.choice = choice or selection.choose(self)
        self._follow(self.choice)

    @property
    def fallbacks(self) -> tuple[Fallback, ...]:
        return self.choice.fallbacks

    @property
    def base_model(self) -> Any:
        """The transformers model itself, inside of adapters where there are any."""
        return getattr(self.model, "get_base_model", lambda: self.model)()

    def run_with(self, attention: Attention) -> None:
        """Run the model with an attention that it is known to take, or about to be tried with."""
        ours = selection.OURS.get(attention)
        name = ours.NAME if ours else self.own_implementation
        if ours:
            ours.register()
        if str(getattr(self.model_config, "_attn_implementation", None)) != name:
            self.model.set_attn_implementation(name)  # type: ignore[operator]
        self.attention = attention

    def _follow(self, choice: Choice) -> None:
        """Run the model in the ways that were chosen for it, and report those that were not."""
        self.head = self.base_model.get_output_embeddings() if choice.output_head else None
        if not choice.last_network:
            self.last.module = None
        self.run_with(choice.attention)
        selection.report(self.config.model, self.config.attn_implementation, choice)

    @classmethod
    def load(cls, config: BackboneConfig, initial_seed: int = 0) -> Backbone:
        """Return the backbone that `config` names; `initial_seed` seeds the new adapters.

        Raises:
            UserError: there is no such model, or it is not a causal language model.
        """
        device = device_for(config)
        config = settled(config, device)
        keep = torch.float32 if config.weights == "full" or config.dtype == "float32" else torch.bfloat16
        bits = quantized(config, device, keep)
        model, tokenizer = open_model(config.model, keep, config.on_hub(), bits)
        keep_derivatives(model)
        model = with_liger(model, config, device)
        with torch.random.fork_rng():
            torch.manual_seed(initial_seed)
            kept = choice_cache.entry(config, model, device)
            backbone = cls(model if bits else model.to(device), tokenizer, config, kept.read()).to(device)
        kept.write(backbone.choice)
        return backbone

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def context(self) -> int:
        """The longest sequence, in tokens, that the model takes."""
        return int(getattr(self.model_config, "max_position_embeddings", 1 << 30))

    @property
    def row_tokens(self) -> int:
        """The most tokens of a packed row of queries, where nobody says another number."""
        return 16384 if self.device.type == "cuda" else 2048  # measured: benchmarks/README.md

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of a text by itself, without special tokens around it."""
        return self.texts.encode(text).ids

    def trainable(self) -> dict[str, nn.Parameter]:
        """Return the learned weights by name, as `params` of the calls below."""
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def shares(self, length: int) -> bool:
        """Return whether sequences of this many tokens can share their prefixes (within a sliding window they can)."""
        return self.attention != "plain" and (self.window is None or length <= self.window)

    @property
    def mask_dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.config.dtype == "bfloat16" else next(self.model.parameters()).dtype

    def precision(self) -> AbstractContextManager[Any]:
        """Return the context in which matrix products run in the configured precision."""
        if self.config.dtype == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def logprobs(
        self, forest: Sequence[PromptTree], wanted: Sequence[Sequence[int]], params: Params | None = None
    ) -> Tensor:
        """Log-probability of each wanted node given its path, tree by tree: float32, `[sum of len(wanted)]`.

        Differentiable in the learned weights, or in `params` where these stand in for them. A wanted node has a parent.
        """
        row = pack(forest)
        if not self.shares(row.depth):
            return torch.cat([self._plain_logprobs(t, w, params) for t, w in zip(forest, wanted, strict=True)])
        return self.row_logprobs(row, forest, wanted, params=params)

    def row_logprobs(
        self,
        row: Packed,
        forest: Sequence[PromptTree],
        wanted: Sequence[Sequence[int]],
        past: Any = None,
        params: Params | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return `logprobs` for a row packed before, continued from the cached prefix `past` where there is one.

        `mask`, additive `[1, 1, rows, prefix + rows]`, says what the rows see where it is less than `Packed.mask`.
        """
        trees = enumerate(zip(forest, wanted, strict=True))
        parents = [row.row[i][parent] for i, (tree, nodes) in trees for parent in parents_of(tree, nodes)]
        targets = torch.tensor([t.tokens[n] for t, ns in zip(forest, wanted, strict=True) for n in ns])
        if not parents:
            return torch.empty(0, device=self.device)
        places, which = torch.unique(torch.tensor(parents), return_inverse=True)
        return self._log_softmax_at(self._packed(row, past, mask), params, places, which, targets)

    def hidden(self, sequences: Sequence[Sequence[int]], layer: int = -1, params: Params | None = None) -> list[Tensor]:
        """Hidden states `[length, width]` (float32) of plain sequences at a layer (0: embeddings, -1: the last).

        Sequences run in packed rows, none seeing another. No layer above the requested one runs; no logit is computed.
        """
        groups = best_fit([len(ids) for ids in sequences], HIDDEN_ROW)
        if not self.shares(max(map(len, sequences), default=0)):
            groups = [[i] for i in range(len(sequences))]
        found: dict[int, Tensor] = {}
        for group in groups:
            if len(group) > 1:
                inputs = self._packed(pack([PromptTree.of_path(sequences[i]) for i in group], leaves=True))
            else:
                inputs = self._plain(sequences[group[0]])
            parts = self._states(inputs, layer, params).split([len(sequences[i]) for i in group])
            found.update(zip(group, parts, strict=True))
        return [found[i] for i in range(len(sequences))]

    def _states(self, inputs: ModelInputs, layer: int, params: Params | None) -> Tensor:
        """Hidden states `[length, width]` (float32) of one row at a layer."""
        layers = self.lower.layers
        if not 0 <= layer < len(layers):
            found = self.run(inputs, params, NONE, states=True).hidden_states[layer]
            return output_head.wide(found[0])
        run = partial(self.run, inputs, params, NONE, share=layer > self.lower.count)
        return output_head.wide(states_at(layers, layer, run)[0])

    def prefix(
        self, ids: Sequence[int], params: Params | None = None, known: Sequence[int] = (), past: Any = None
    ) -> Any:
        """Return the key-value cache after `ids` (empty for no ids).

        What they begin with that `known` begins with too is taken from its cache `past`, which stays as it is.
        """
        from transformers import DynamicCache

        cache = DynamicCache()
        same = sum(takewhile(bool, map(eq, ids, known)))
        if same:
            cache.layers = [copy(layer) for layer in past.layers]  # new tokens make new tensors
            cache.crop(same - len(known))
        if same < len(ids):
            row = pack([PromptTree.of_path(ids[same:])], start=same, leaves=True)
            self.run(self._packed(row, cache), params, NONE)
        return cache

    def next_logits(self, row: Packed, mask: Tensor, past: Any, at: Sequence[int], params: Params | None) -> Tensor:
        """Return logits `[len(at), vocabulary]` (float32) after the tokens `at` of a row with a given additive mask."""
        return self._logits(self._packed(row, past, mask), params, torch.tensor(at))

    def plain_logits(self, ids: Sequence[int], params: Params | None = None, keep: Tensor | None = None) -> Tensor:
        """Logits `[length, vocabulary]` (float32) of one plain sequence, or those at the positions `keep`."""
        return self._logits(self._plain(ids), params, keep)

    def _plain_logprobs(self, tree: PromptTree, wanted: Sequence[int], params: Params | None) -> Tensor:
        """Run one forward pass for each leaf's path: the slow way."""
        found: dict[int, Tensor] = {}
        for node in sorted(wanted, reverse=True):  # the deeper first: a path gives its inner nodes too
            if node in found:
                continue
            path = tree.path(node)
            ids = [tree.tokens[n] for n in path]
            rows, targets = torch.arange(len(ids) - 1), torch.tensor(ids[1:])
            lp = self._log_softmax_at(self._plain(ids[:-1]), params, None, rows, targets)
            found.update({n: lp[i - 1] for i, n in enumerate(path) if i})
        return torch.stack([found[node] for node in wanted]) if found else torch.empty(0, device=self.device)

    def _plain(self, ids: Sequence[int]) -> ModelInputs:
        """Return a plain sequence as the model takes it."""
        check_length(len(ids), self.context)
        return ModelInputs(torch.tensor([list(ids)], device=self.device))

    def _packed(self, row: Packed, past: Any = None, mask: Tensor | None = None) -> ModelInputs:
        """Return a packed row as the model takes it; `mask` is as in `row_logprobs`."""
        check_length(int(row.positions.max()) + 1 if len(row.positions) else 0, self.context)
        before = past.get_seq_length() if past is not None else 0
        seen = self._attention_inputs(row, before) if mask is None else {"attention_mask": mask.to(self.device)}
        ids, positions = row.ids[None].to(self.device), row.positions[None].to(self.device)
        return ModelInputs(ids, positions, row.subtree_end, seen, past)

    def _attention_inputs(self, row: Packed, prefix: int) -> dict[str, Any]:
        """Return the arguments that say which tokens each token of a row sees, as this attention reads them."""
        if self.attention == "tree":  # a mask in four dimensions, so that transformers makes none; it is not read
            tree = plan(row.subtree_end, prefix, self.smooth)
            return {"attention_mask": torch.zeros(1, 1, 1, 1), "tree": tree}
        if self.attention == "flex":
            return {"attention_mask": flex_attention.block_mask(row, self.device, prefix)}
        return {"attention_mask": row.mask(self.mask_dtype, prefix).to(self.device)}

    def _log_softmax_at(
        self, inputs: ModelInputs, params: Params | None, keep: Tensor | None, rows: Tensor, targets: Tensor
    ) -> Tensor:
        """Return the log softmax at `targets` after `rows` of the kept positions of one forward pass."""
        rows, targets = rows.to(self.device), targets.to(self.device)
        if self.head is None:
            lp = self._logits(inputs, params, keep).log_softmax(-1)
            return lp[rows, targets]
        tap = self._tapped(self.head, inputs, params, keep)
        return output_head.log_softmax_at(tap.states[0], tap.weight, tap.bias, rows, targets)

    def _logits(self, inputs: ModelInputs, params: Params | None, keep: Tensor | None) -> Tensor:
        """Return logits `[kept, vocabulary]` in float32; `keep` None keeps all positions."""
        if self.head is None:
            return output_head.wide(self.run(inputs, params, keep).logits[0])
        tap = self._tapped(self.head, inputs, params, keep)
        return output_head.logits(tap.states[0], tap.weight, tap.bias)

    def _tapped(
        self, head: nn.Linear, inputs: ModelInputs, params: Params | None, keep: Tensor | None
    ) -> output_head.Tap:
        with output_head.Tap(head) as tap:
            self.run(inputs, params, keep)
        return tap

    @cached_property
    def _accepts_logits_to_keep(self) -> bool:
        """Where it does not, all logits are computed; only hidden states can be requested of such a model."""
        return "logits_to_keep" in selection.arguments(self.base_model)

    @cached_property
    def dense_refusal(self) -> str | None:
        """Why the model takes no dense mask; None where it takes one."""
        return selection.refusal(self, "dense")

    def run(
        self,
        inputs: ModelInputs,
        params: Params | None,
        keep: Tensor | None,
        states: bool = False,
        share: bool = True,
    ) -> Any:
        """Run one forward pass.

        Args:
            keep: the positions whose logits are wanted; None: all.
            states: whether the output has the hidden states of all layers, at all positions.
            share: without it, lower layers that have run on this row run again.
        """
        self.tokens_run += inputs.ids.numel()
        row = (inputs.ids, inputs.positions, inputs.subtree_end) if share and inputs.cache is None else None
        kept = keep.to(self.device) if keep is not None and self._accepts_logits_to_keep else None
        kwargs = inputs.arguments()
        if kept is not None:
            kwargs["logits_to_keep"] = kept
        if states:
            kwargs["output_hidden_states"] = True
        with self.precision(), self.lower.of(row), self.last.at(None if states else kept):
            return functional_call(self.model, dict(params), (), kwargs) if params else self.model(**kwargs)
