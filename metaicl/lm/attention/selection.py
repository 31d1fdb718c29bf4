"""The ways in which a model is run: which attention, and which of two shortcuts around work that nobody requested.

    tree          the parts of a prompt tree as fused calls without a mask (CPU; metaicl/lm/attention/tree.py)
    flex          FlexAttention with a block mask (CUDA; metaicl/lm/attention/flex.py)
    dense         an additive mask of the whole row: the reference
    plain         no tree at all: its paths run as plain sequences (a state-space model, ALiBi without positions)

    output head   the output embedding is multiplied by us, at the needed positions (metaicl/lm/output_head.py)
    last network  the last layer's network runs at those positions only (metaicl/lm/last_network.py)

The attentions are tried in the order that is quickest on this machine (metaicl/lm/attention/speed.py). First the model
is checked for whether it can be run that way at all; then the log-probabilities of a few tokens must be those of plain
sequences. Either answer may be a refusal, which has a reason; `Choice.fallbacks` lists them. Only a refusal is caught
here, so that a bug in a quicker way is not mistaken for a model that does not take it.
"""

from __future__ import annotations

import inspect
import logging
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from metaicl.lm import output_head
from metaicl.lm.attention import flex as flex_attention
from metaicl.lm.attention import speed as attention_speed
from metaicl.lm.attention import tree as tree_attention
from metaicl.lm.choice import Attention, Choice, Fallback
from metaicl.lm.prompt_tree import PromptTree, pack
from metaicl.lm.refused import Refused
from task_suites.core.errors import UserError

if TYPE_CHECKING:
    from metaicl.lm.backbone import Backbone

log = logging.getLogger("metaicl")
OURS: dict[str, Any] = {"tree": tree_attention, "flex": flex_attention}
NEEDED = ("attention_mask", "position_ids", "cache", "logits_to_keep")  # the arguments by which a model gets a tree
HEAD, LAST_NETWORK = "output head", "last network"


def choose(backbone: Backbone) -> Choice:
    """Return the quickest ways that the model takes; the backbone is left in them.

    Raises:
        UserError: `attn_implementation` asks for an attention that the model does not take.
    """
    fallbacks = []
    if reason := _head_refusal(backbone):
        fallbacks.append(Fallback(HEAD, reason))
    if reason := _last_network_refusal(backbone):
        fallbacks.append(Fallback(LAST_NETWORK, reason))
    asked = backbone.config.attn_implementation
    quickest = partial(attention_speed.order, backbone.device.type, backbone.config.dtype)
    for kind in quickest() if asked == "auto" else (asked,):
        if reason := refusal(backbone, kind):
            fallbacks.append(Fallback(kind, reason))
        else:
            backbone.run_with(kind)
            return Choice(kind, backbone.head is not None, backbone.last.module is not None, tuple(fallbacks))
    raise UserError(
        f"{backbone.config.model} does not run with the attention {asked!r} on {backbone.device.type}",
        found=fallbacks[-1].reason,
        fix="Leave attn_implementation at auto.",
    )


@cache
def report(name: str, asked: str, choice: Choice) -> None:
    """Log each fallback of a model, with its reason, once in a process however often it is loaded."""
    refused = [f for f in choice.fallbacks if f.way not in (HEAD, LAST_NETWORK)]
    reasons = "; ".join(f"{f.way}: {f.reason}" for f in refused)
    if choice.attention == "plain" and asked == "auto":
        log.warning(
            "%s takes no tree mask: every prompt runs as a plain sequence (slower, same results). %s", name, reasons
        )
    elif refused:
        log.info("%s runs with the attention %s (slower, same results). %s", name, choice.attention, reasons)
    for fallback in choice.fallbacks:
        if fallback not in refused:
            log.info("%s runs without the shortcut %r (slower, same results): %s", name, fallback.way, fallback.reason)


@torch.no_grad()
def refusal(backbone: Backbone, kind: Attention) -> str | None:
    """Why the model does not run with an attention, or None where it does; the backbone's own is as before."""
    if kind == "plain":
        return None
    before = backbone.attention
    try:
        ask(backbone, kind)
        tree = PromptTree()
        trunk = tree.insert(-1, _some_ids(backbone, 8, 1))
        wanted = [n for i in range(8) for n in tree.insert(trunk[-1], _some_ids(backbone, 5, i + 2))]
        backbone.run_with("plain")
        plain = backbone.logprobs([tree], [wanted])
        backbone.run_with(kind)
        _check_alike(backbone, backbone.row_logprobs(pack([tree]), [tree], [wanted]), plain)
    except Refused as refused:
        return str(refused)
    finally:
        backbone.run_with(before)
    return None


def ask(backbone: Backbone, kind: Attention) -> None:
    """Refuse what is known not to work for an attention and a model, before it is tried.

    Raises:
        Refused: the model cannot have it.
    """
    model, config = backbone.base_model, backbone.model_config
    if getattr(model, "_is_stateful", False):
        raise Refused("it keeps a running state, in which every token sees all tokens before it")
    if missing := [name for name in NEEDED if name not in arguments(model)]:
        raise Refused(f"its forward pass takes no {' and no '.join(missing)}")
    if getattr(config, "alibi", False):
        raise Refused("its ALiBi biases depend on positions in the row")
    if backbone.window == 0:
        raise Refused("its local attention depends on positions in the row")
    if kind not in OURS:
        return
    own = backbone.own_implementation
    if own != "sdpa":
        raise Refused(f"its attention runs as {own!r}, and only what runs as 'sdpa' can be exchanged")
    if not any(p.kind is p.VAR_KEYWORD for p in arguments(model).values()):
        raise Refused("its forward pass hands no further arguments to the attention")
    if kind == "tree" and backbone.device.type != "cpu":
        raise Refused("the kernels of tree attention run on CPU only")


def shared_depth(shape: Any) -> int | None:
    """Return the longest sequence whose prefixes can be shared, where that is less than all: within it, a sliding
    window and chunked attention hide nothing, and a rotation that depends on the whole length stays as it is. 0:
    none can."""
    kinds = set(getattr(shape, "layer_types", None) or ())
    rotation = getattr(shape, "rope_parameters", None) or {}
    limits = []
    if getattr(shape, "use_sliding_window", True) is not False and (not kinds or "sliding_attention" in kinds):
        limits.append(getattr(shape, "sliding_window", None))
    if not kinds or "chunked_attention" in kinds:
        limits.append(getattr(shape, "attention_chunk_size", None))
    if "local" in (getattr(shape, "attention_layers", None) or ()):  # GPT-Neo's window depends on positions in the row
        return 0
    if rotation.get("rope_type") in ("dynamic", "longrope"):
        limits.append(rotation.get("original_max_position_embeddings") or shape.max_position_embeddings)
    return min((int(limit) for limit in limits if limit), default=None)


def arguments(model: nn.Module) -> dict[str, inspect.Parameter]:
    """Return the arguments of a model's forward pass, by name."""
    return dict(inspect.signature(model.forward).parameters)


@torch.no_grad()
def _head_refusal(backbone: Backbone) -> str | None:
    """Why its output embedding cannot be multiplied by us, or None; `backbone.head` is set to it where it can."""
    ids = _some_ids(backbone, 8, 0)
    own = backbone.plain_logits(ids).log_softmax(-1)
    head = backbone.base_model.get_output_embeddings()  # type: ignore[operator]
    if type(head) is not nn.Linear:
        return f"its output embedding is not a plain linear layer but {type(head).__name__}"
    if not output_head.hands_on(head, lambda: backbone.plain_logits(ids)):
        return "its logits are not what its output embedding gives, but capped, scaled or from elsewhere"
    backbone.head = head
    try:
        _check_alike(backbone, backbone.plain_logits(ids).log_softmax(-1), own)
    except Refused as refused:
        backbone.head = None
        return str(refused)
    return None


@torch.no_grad()
def _last_network_refusal(backbone: Backbone) -> str | None:
    """Why its last network cannot be run at some positions only, or None; `backbone.last` is set to what holds."""
    module, backbone.last.module = backbone.last.module, None
    if module is None:
        return "its last layer has no module called mlp"
    if backbone.config.gradient_checkpointing:
        return "with gradient checkpointing, a layer's second pass comes when the positions are forgotten"
    if "logits_to_keep" not in arguments(backbone.base_model):
        return "its forward pass takes no logits_to_keep"
    ids, keep = _some_ids(backbone, 8, 0), torch.tensor([2, 6])
    own = backbone.plain_logits(ids).log_softmax(-1)[keep]
    backbone.last.module = module
    try:
        _check_alike(backbone, backbone.plain_logits(ids, keep=keep).log_softmax(-1), own)
    except Refused as refused:
        backbone.last.module = None
        return str(refused)
    return None


def _check_alike(backbone: Backbone, found: Tensor, plain: Tensor) -> None:
    """Two ways of computing the same log-probabilities agree: in bf16 up to rounding.

    Raises:
        Refused: they do not.
    """
    if found.shape != plain.shape:
        raise Refused(f"it gives log-probabilities of shape {list(found.shape)}, not {list(plain.shape)}")
    off, allowed = float((found - plain).abs().mean()), 1e-4 if backbone.config.dtype == "float32" else 0.15
    if not off < allowed:  # also where it is not a number
        raise Refused(f"its log-probabilities are off by {off:.2g} on average, where {allowed:g} is rounding")


def _some_ids(backbone: Backbone, count: int, number: int) -> list[int]:
    """Token ids for self-checks."""
    return [(31 * i * i + 17 * number * (i + 1)) % min(97, int(backbone.model_config.vocab_size)) for i in range(count)]
