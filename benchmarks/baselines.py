"""The slow ways of scoring options that `scoring.py` compares with, and the bare time of a run's matrix products.

All take a plain transformers model (its own attention, nothing of this project's) and token ids made beforehand, and
give the summed log-probability of each row's scored tokens, `[rows]`, in the order of the prompts.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import measuring  # noqa: F401 - it sets the environment, so before torch
import numpy as np
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import DynamicCache

from eval.agreement import harness_task
from task_suites.example import Example

Scores = np.ndarray


@dataclass(frozen=True)
class Prompts:
    """The rows of one support set.

    Attributes:
        prefix: token ids of the demonstrations, with which each row begins.
        rows: (ids of the rest of the context, ids of the scored tokens), query by query, option by option.
    """

    prefix: list[int]
    rows: list[tuple[list[int], list[int]]]

    def first(self, rows: int) -> Prompts:
        return replace(self, rows=self.rows[:rows])

    def whole(self) -> list[tuple[list[int], list[int]]]:
        """Return the rows with the prefix in front."""
        return [([*self.prefix, *context], scored) for context, scored in self.rows]

    def trie(self) -> tuple[int, int, int]:
        """Return (distinct token prefixes, those of them that another token follows, those whose next token is
        scored)."""
        child: dict[tuple[int, int], int] = {}
        inner, asked = set(), set()
        for context, scored in self.whole():
            node = -1
            for place, token in enumerate([*context, *scored]):
                if place >= len(context):
                    asked.add(node)
                inner.add(node)
                node = child.setdefault((node, token), len(child))
        return len(child), len(inner - {-1}), len(asked)


@torch.inference_mode()
def padded(model: Any, prompts: Prompts, *, width: int = 1024, batch: int = 16, everywhere: bool = True) -> Scores:
    """MetaICL's way: each row padded to `width` (or the longest row, if longer), with an attention mask.

    `everywhere` computes logits and losses at all positions, as MetaICL does, and not at the scored tokens only.
    """
    rows = prompts.whole()
    width = max(width, max(len(context) + len(scored) for context, scored in rows))
    return _batched(model, rows, range(len(rows)), batch, width, everywhere, masked=True)


@torch.inference_mode()
def by_length(model: Any, prompts: Prompts, *, batch: int = 16, everywhere: bool = True) -> Scores:
    """Rows sorted by length, each batch padded to its longest row; right padding needs no mask, so there is none."""
    rows = prompts.whole()
    return _batched(model, rows, _longest_first(rows), batch, 0, everywhere, masked=False)


def _batched(
    model: Any,
    rows: Sequence[tuple[list[int], list[int]]],
    order: Sequence[int],
    batch: int,
    width: int,
    everywhere: bool,
    masked: bool,
) -> Scores:
    result = np.zeros(len(rows))
    for start in range(0, len(rows), batch):
        chosen = list(order[start : start + batch])
        part = [rows[i] for i in chosen]
        ids, mask = _right_padded([[*context, *scored] for context, scored in part], width)
        extra = {"attention_mask": mask} if masked else {}
        if everywhere:
            logits = model(input_ids=ids, use_cache=False, **extra).logits[:, :-1]
            losses = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view(len(part), -1)
            starts = [len(context) - 1 for context, _ in part]
            ends = [s + len(scored) for s, (_, scored) in zip(starts, part, strict=True)]
            sums = [-losses[r, s:e].double().sum().item() for r, (s, e) in enumerate(zip(starts, ends, strict=True))]
        else:
            hidden = model.base_model(input_ids=ids, use_cache=False, **extra).last_hidden_state
            sums = _sums(model, hidden, part)
        result[chosen] = sums
    return result


@torch.inference_mode()
def prefix_states(model: Any, prompts: Prompts) -> Any:
    """Return the key-value cache of the prefix."""
    cache = DynamicCache(config=model.config)
    model.base_model(input_ids=torch.tensor([prompts.prefix]), cache=cache, use_cache=True)
    return cache


@torch.inference_mode()
def continuations(model: Any, prompts: Prompts, states: Any, batch: int) -> Scores:
    """All rows as right-padded continuations of the prefix's states, longest first, `batch` at a time.

    As good as this way gets without a kernel of one's own: the last token, which predicts nothing, does not run, and
    the output embedding is applied to the hidden states before scored tokens only.
    """
    result = np.zeros(len(prompts.rows))
    order = _longest_first(prompts.rows)
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        part = [prompts.rows[i] for i in chosen]
        ids, _ = _right_padded([[*context, *scored][:-1] for context, scored in part])
        wide = _expanded(states, len(part))
        hidden = model.base_model(input_ids=ids, cache=wide, use_cache=True).last_hidden_state
        result[chosen] = _sums(model, hidden, part)
    return result


def prefix_reuse(model: Any, prompts: Prompts, batch: int) -> Scores:
    """Plain reuse of the prefix's key-value states: once through the prefix, then `continuations`."""
    return continuations(model, prompts, prefix_states(model, prompts), batch)


@torch.inference_mode()
def llmbox(model: Any, prompts: Prompts, *, batch: int = 16) -> Scores:
    """LLMBox's way (RUCAIBox/LLMBox, `utilization/model/model_utils/prefix_caching.py`), written again.

    States are cached in levels. The prefix runs once, each question runs once given its states, and a question's
    options run `batch` at a time given the question's states, right-padded. The first token of an option is scored by
    the question's last state.

    LLMBox computes logits at all of an option's positions. Here it is at the scored ones only, and questions run one by
    one without padding; both favour this side on a CPU.
    """
    states, result = prefix_states(model, prompts), list[float]()
    for context, rows in groupby(prompts.rows, key=itemgetter(0)):
        question = _expanded(states, 1)
        ran = model.base_model(input_ids=torch.tensor([context]), cache=question, use_cache=True).last_hidden_state
        options = [scored for _, scored in rows]
        for start in range(0, len(options), batch):
            part = options[start : start + batch]
            hidden = ran[:, -1:].expand(len(part), -1, -1)
            if max(map(len, part)) > 1:
                ids, _ = _right_padded([scored[:-1] for scored in part])
                wide = _expanded(question, len(part))
                more = model.base_model(input_ids=ids, cache=wide, use_cache=True).last_hidden_state
                hidden = torch.cat([hidden, more], 1)
            result += _sums(model, hidden, [([0], scored) for scored in part])
    return np.array(result)


def _expanded(states: Any, rows: int) -> Any:
    """Return a cache of one row for this many, expanded without a copy; a layer copies when it appends to it."""
    return DynamicCache(
        [tuple(s.expand(rows, -1, -1, -1) for s in (layer.keys, layer.values)) for layer in states.layers]
    )


def best_batch(model: Any, prompts: Prompts, candidates: Sequence[int]) -> int:
    """Return the batch size with which `continuations` is fastest here (the better of two runs each, after a
    warm-up)."""
    states = prefix_states(model, prompts)
    seconds = {}
    for batch in candidates:
        continuations(model, prompts.first(batch), states, batch)
        runs = []
        for _ in range(2):
            started = time.perf_counter()
            continuations(model, prompts, states, batch)
            runs.append(time.perf_counter() - started)
        seconds[batch] = min(runs)
    return min(seconds, key=seconds.__getitem__)


def _longest_first(rows: Sequence[tuple[list[int], list[int]]]) -> list[int]:
    return sorted(range(len(rows)), key=lambda i: -len(rows[i][0]) - len(rows[i][1]))


def _right_padded(rows: Sequence[Sequence[int]], width: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (ids, mask), each `[rows, width]` or as wide as the longest row."""
    width = max(width, max(map(len, rows)))
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for r, row in enumerate(rows):
        ids[r, : len(row)] = torch.tensor(row)
        mask[r, : len(row)] = 1
    return ids, mask


def _sums(model: Any, hidden: torch.Tensor, part: Sequence[tuple[list[int], list[int]]]) -> list[float]:
    """Summed log-probability of each row's scored tokens from hidden states `[rows, length, width]`."""
    owner = torch.tensor([r for r, (_, scored) in enumerate(part) for _ in scored])
    places = torch.tensor([len(context) - 1 + i for context, scored in part for i in range(len(scored))])
    targets = torch.tensor([token for _, scored in part for token in scored])
    logits = model.get_output_embeddings()(hidden[owner, places]).float()
    values = logits.gather(1, targets[:, None])[:, 0] - logits.logsumexp(-1)
    return torch.zeros(len(part), dtype=torch.double).index_add_(0, owner, values.double()).tolist()


def lm_eval_version() -> str | None:
    """Return the installed lm-evaluation-harness, or None."""
    try:
        import lm_eval  # noqa: F401

        return importlib.metadata.version("lm_eval")
    except ImportError:
        return None


def lm_eval(
    model: Any, tokenizer: Any, support: Sequence[Example], queries: Sequence[Example], folder: Path
) -> Callable[[], Scores]:
    """lm-evaluation-harness itself on the same direct prompts, as a call (its data lie in `folder`).

    The call is `simple_evaluate`, building of its requests and tokenising included, as users have it. It tokenises a
    prompt's text in one piece.
    """
    import datasets
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    datasets.disable_progress_bars()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    task = harness_task("benchmark", support, queries, folder)
    harness = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=16, device="cpu")
    manager = TaskManager(include_defaults=False)

    def run() -> Scores:
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bars
            found = simple_evaluate(harness, tasks=[task], task_manager=manager, bootstrap_iters=0, log_samples=True)
        assert found is not None
        samples = sorted(found["samples"]["benchmark"], key=lambda s: s["doc_id"])
        return np.array([float(response[0]) for s in samples for response in s["filtered_resps"]])

    return run


class MatrixProducts(TorchDispatchMode):
    """Notes each product of two matrices that runs inside (linear layers and head; batched ones are attention's).

    `replay` runs them again, in order, with the same weights and with other activations of the same shapes.
    """

    WANTED = (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.linear)

    def __init__(self, model: torch.nn.Module):
        super().__init__()
        self.weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
        self.calls: list[tuple[Any, list[Any], dict[str, Any]]] = []
        self.products = 0  # multiply-adds
        self._stand_ins: dict[Any, torch.Tensor] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket in self.WANTED:
            self.calls.append((func, [self._kept(a) for a in args], dict(kwargs or {})))
            left = args[1] if func.overloadpacket is torch.ops.aten.addmm else args[0]
            self.products += out.numel() * left.shape[-1]
        return out

    def _kept(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or value.untyped_storage().data_ptr() in self.weights:
            return value
        key = (value.shape, value.dtype)  # one for each shape: to keep all activations would take gigabytes
        if key not in self._stand_ins:
            self._stand_ins[key] = torch.randn(value.shape).to(value.dtype)
        return self._stand_ins[key]

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs in self.calls:
            func(*args, **kwargs)
