"""The sides of the inner loop (`inner_loop.py`): this project's, and the usual ways."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import measuring  # noqa: F401 - it sets the environment, so before torch
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from training_steps import IGNORED, Plain, rows_of

from metaicl.lm.backbone import Backbone
from metaicl.methods.gradient.maml import MAML
from task_suites.episodes import Episode
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Task

Adapted = list[dict[str, Tensor]]  # of each episode
Batch = dict[str, Tensor]


class Answers(nn.Module):
    """The mean negative log-likelihood of answer tokens under a plain model, one demonstration a row."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, rows: Tensor, positions: Tensor, targets: Tensor, share: Tensor) -> Tensor:
        """Return the loss of `targets`, each the token after a position of a row, summed with `share` as weights.

        Shapes: ids `[rows, length]`, the others `[targets]`.
        """
        inner = self.model.get_base_model()
        hidden = inner.base_model(input_ids=ids, use_cache=False).last_hidden_state
        logits = inner.get_output_embeddings()(hidden[rows, positions]).float()
        return -(logits.log_softmax(-1).gather(1, targets[:, None])[:, 0] * share).sum()

    def learned(self) -> dict[str, Tensor]:
        return {n: p for n, p in self.named_parameters() if p.requires_grad}


class UpperAnswers(Answers):
    """The same from the states that enter the first adapted layer; the layers below pass through."""

    def __init__(self, model: Any, count: int):
        super().__init__(model)
        layers = model.get_base_model().base_model.layers
        for layer in layers[:count]:
            layer.forward = lambda hidden_states, *args, **kwargs: hidden_states
        layers[count].register_forward_pre_hook(self._replace, with_kwargs=True)

    def _replace(self, layer: nn.Module, args: Any, kwargs: Any) -> Any:
        return (self.states, *args[1:]), kwargs

    def forward(self, states: Tensor, **batch: Tensor) -> Tensor:  # type: ignore[override]
        self.states = states
        return super().forward(**batch)


def batch_of(backbone: Backbone, task: Task, examples: Sequence[Example], width: int = 0, tokens: int = 0) -> Batch:
    """Padded to `width` tokens a row and to this many answer tokens, whose shares are 0."""
    rows = rows_of(backbone, Episode((0, task.name, "batch", 0), task, (), tuple(examples)))
    ids = torch.zeros(len(rows), max(width, *(len(r.ids) for r in rows)), dtype=torch.long)
    asked = []
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = torch.tensor(row.ids)
        asked += [(i, at - 1, row.ids[at]) for at in range(row.answer, len(row.ids))]
    share = torch.zeros(max(tokens, len(asked)))
    share[: len(asked)] = 1 / len(asked)
    asked += [(0, 0, 0)] * (len(share) - len(asked))
    where, positions, targets = torch.tensor(asked).T
    return {"ids": ids, "rows": where, "positions": positions, "targets": targets, "share": share}


def own_loss(answers: Answers, batch: Batch) -> Tensor:
    """transformers' own, which makes logits at all positions."""
    return answers.model(**batch).loss


def labelled(batch: Batch) -> Batch:
    """Return the same for transformers' own loss."""
    ids, asked = batch["ids"], batch["share"] > 0
    labels = torch.full_like(ids, IGNORED)
    rows, positions = batch["rows"][asked], batch["positions"][asked] + 1
    labels[rows, positions] = batch["targets"][asked]
    last = torch.zeros(len(ids), dtype=torch.long).scatter_reduce(0, rows, positions, "amax")
    mask = (torch.arange(ids.shape[1]) <= last[:, None]).long()  # an answer's last token is its row's
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def clone_module(module: nn.Module, seen: dict[int, Any]) -> nn.Module:
    """Return a module of the same kind whose weights are `clone()`s of the given one's, in its graph (all of them)."""
    made = module.__new__(type(module))
    made.__dict__ = module.__dict__.copy()
    made._parameters = {}
    made._modules = {}
    made.__dict__["_cloned"] = {
        name: seen.setdefault(id(p), p.clone()) for name, p in module._parameters.items() if p is not None
    }
    for name, p in module._parameters.items():
        made._parameters[name] = cast(Any, made.__dict__["_cloned"].get(name) if p is not None else None)
    for name, child in module._modules.items():
        made._modules[name] = None if child is None else clone_module(child, seen)
    return made


def cloned_weights(module: nn.Module, prefix: str = "") -> dict[str, tuple[nn.Module, str]]:
    """Where each weight of a cloned module sits: (module, name) by its full name."""
    found = {prefix + name: (module, name) for name, p in module._parameters.items() if p is not None}
    for name, child in module._modules.items():
        if child is not None:
            found.update(cloned_weights(child, f"{prefix}{name}."))
    return found


@dataclass(frozen=True)
class Comparison:
    """The same episodes for all sides.

    Attributes:
        plain: the backbone's model with PyTorch's own attention, on the same storage of weights.
        upper: the same from the first adapted layer.
        batches, padded: the support sets as the plain sides read them; `padded` are all of one shape.
        queries: the queries, read in the same way.
    """

    method: MAML
    episodes: Sequence[Episode]
    plain: Answers
    upper: UpperAnswers
    batches: Sequence[Batch]
    padded: Sequence[Batch]
    queries: Sequence[Batch]

    @classmethod
    def of(cls, backbone: Backbone, episodes: Sequence[Episode], steps: int, rate: float) -> Comparison:
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():  # away from the zeros of fresh adapters
            for p in backbone.trainable().values():
                p.add_(0.02 * torch.randn(p.shape, generator=generator))
        plain, upper = (Answers(Plain(backbone).model), Plain(backbone).model)
        batches = [batch_of(backbone, e.task, e.support) for e in episodes]
        width, tokens = (max(b[key].shape[-1] for b in batches) for key in ("ids", "share"))
        return cls(
            MAML(
                backbone,
                PromptFormat(),
                MAML.Config(inner_steps=steps, inner_lr=rate, clip=0.0, order=1, test_steps=None),
            ),
            episodes,
            plain,
            UpperAnswers(upper, backbone.lower.count),
            batches,
            [batch_of(backbone, e.task, e.support, width, tokens) for e in episodes],
            [batch_of(backbone, e.task, e.queries) for e in episodes],
        )

    @property
    def steps(self) -> int:
        return self.method.config.inner_steps

    @property
    def rate(self) -> float:
        return self.method.config.inner_lr

    def sides(self) -> dict[str, Callable[[], Adapted]]:
        return {
            "ours": self.ours,
            "unshared": self.unshared,
            "loop": self.loop,
            "tuned": self.tuned,
            "clone": self.clone,
            "func": self.func,
            "func_shared": self.func_shared,
            "vmap": self.vmap,
            "vmap_shared": self.vmap_shared,
        }

    def ours(self) -> Adapted:
        found = [self.method.inner(e.task, e.support) for e in self.episodes]
        return [{f"model.{name}": p for name, p in weights.items()} for weights in found]

    def unshared(self) -> Adapted:
        lower = self.method.backbone.lower
        count, lower.count = lower.count, 0
        try:
            return self.ours()
        finally:
            lower.count = count

    def loop(self) -> Adapted:
        return [self.copied(partial(own_loss, batch=labelled(batch))) for batch in self.batches]

    def tuned(self) -> Adapted:
        return [self.copied(partial(Answers.__call__, **batch)) for batch in self.batches]

    def copied(self, loss: Callable[[Answers], Tensor]) -> dict[str, Tensor]:
        mine = copy.deepcopy(self.plain)
        optimizer = torch.optim.SGD(mine.learned().values(), lr=self.rate)
        for _ in range(self.steps):
            optimizer.zero_grad()
            loss(mine).backward()
            optimizer.step()
        return mine.learned()

    def clone(self) -> Adapted:
        return [self.adapted_clone(batch, self.steps)[1] for batch in self.batches]

    def adapted_clone(self, batch: Batch, steps: int, order: int = 1) -> tuple[nn.Module, dict[str, Tensor]]:
        mine = clone_module(self.plain, {})
        owners = {n: owner for n, owner in cloned_weights(mine).items() if n in self.plain.learned()}
        current: dict[str, Tensor] = {}
        for _ in range(steps):
            current = {n: cast(Tensor, module._parameters[name]) for n, (module, name) in owners.items()}
            grads = torch.autograd.grad(mine(**batch), list(current.values()), create_graph=order == 2)
            for (n, (module, name)), g in zip(owners.items(), grads, strict=True):
                module._parameters[name] = cast(Any, current[n] - self.rate * g)
        return mine, {n: cast(Tensor, module._parameters[name]) for n, (module, name) in owners.items()}

    def func(self) -> Adapted:
        slope = grad(lambda params, batch: functional_call(self.plain, params, (), batch))
        return [self.descended(partial(slope, batch=batch)) for batch in self.batches]

    def func_shared(self) -> Adapted:
        slope = grad(lambda params, batch: functional_call(self.upper, params, (), batch))
        return [
            self.descended(partial(slope, batch={**batch, "states": self.lower_states(batch)}))
            for batch in self.batches
        ]

    def vmap(self) -> Adapted:
        slope = vmap(grad(lambda params, batch: functional_call(self.plain, params, (), batch)))
        return self.together(slope, [dict(b) for b in self.padded])

    def vmap_shared(self) -> Adapted:
        slope = vmap(grad(lambda params, batch: functional_call(self.upper, params, (), batch)))
        return self.together(slope, [{**b, "states": self.lower_states(b)} for b in self.padded])

    def together(self, slope: Callable[..., dict[str, Tensor]], batches: Sequence[Batch]) -> Adapted:
        batch = {key: torch.stack([b[key] for b in batches]) for key in batches[0]}
        start = {n: torch.stack([p.detach()] * len(batches)) for n, p in self.plain.learned().items()}
        found = self.descended(lambda params: slope(params, batch), start)
        return [{n: p[i] for n, p in found.items()} for i in range(len(batches))]

    def descended(
        self, slope: Callable[[Any], Mapping[str, Tensor]], start: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        params = {n: p.detach() for n, p in (start or self.plain.learned()).items()}
        for _ in range(self.steps):
            grads = slope(params)
            params = {n: p - self.rate * grads[n] for n, p in params.items()}
        return params

    @torch.no_grad()
    def lower_states(self, batch: Batch) -> Tensor:
        """Return what enters the first adapted layer."""
        model, kept = self.plain.model.get_base_model().base_model, []

        def keep(layer: nn.Module, args: Any, kwargs: Any) -> None:
            kept.append(args[0] if args else kwargs["hidden_states"])
            raise _Enough

        hook = model.layers[self.method.backbone.lower.count].register_forward_pre_hook(keep, with_kwargs=True)
        try:
            with suppress(_Enough):
                model(input_ids=batch["ids"], use_cache=False)
        finally:
            hook.remove()
        return kept[0]

    # --- second order

    def meta_gradient(self, order: int, steps: int) -> dict[str, Tensor]:
        """Ours, on the first episode."""
        method, start = self.method, self.method.start()
        before = method.config
        method.config = replace(before, order=order, inner_steps=steps)
        try:
            loss, weight = method([self.episodes[0]])
        finally:
            method.config = before
        grads = torch.autograd.grad(loss / weight, list(start.values()))
        return {f"model.{n}": g for n, g in zip(start, grads, strict=True)}

    def cloned_meta_gradient(self, steps: int) -> dict[str, Tensor]:
        with sdpa_kernel(SDPBackend.MATH):
            mine, _ = self.adapted_clone(self.batches[0], steps, order=2)
            start = self.plain.learned()
            grads = torch.autograd.grad(mine(**self.queries[0]), list(start.values()))
        return dict(zip(start, grads, strict=True))


class _Enough(Exception):
    """The states are here; the layers above need not run."""
