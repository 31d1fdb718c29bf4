"""The inner loops of a meta-batch: this project's against the usual ways, in one process, to the same adapted weights.

    python benchmarks/inner_loop.py                                       a random 6-layer Llama, four minutes
    python benchmarks/inner_loop.py --model smollm2-135m --data FOLDER    the real one (once pulled) on real tasks
    python benchmarks/inner_loop.py --quick                               a smoke run; its numbers mean nothing

Several episodes, 16 demonstrations each, take 5 steps of gradient descent on the mean loss of the answers' tokens, LoRA
adapters in the upper third of the layers, float32. Sides:

    ours         `MAML.inner`: layers below the first adapter run once an episode, no copy of the model
    unshared     the same with all layers run at every step
    loop         copy.deepcopy of the model for each episode, then model(..., labels=...), backward, torch.optim.SGD
    tuned        the same with no mask (the padding is on the right) and with logits at the answers' tokens only
    clone        learn2learn's way, written here: modules cloned with all their weights, which stay in the graph
    func         torch.func.grad over torch.func.functional_call
    vmap         the same, all episodes at once: torch.func.vmap over stacked adapters
    func shared, vmap shared    the two with the layers below the first adapter run once an episode

All but ours run one demonstration a row, padded to the longest, with PyTorch's fused attention; all but the plain loop
have the tuned one's loss. The batches are made beforehand; ours begins with examples whose segments are in the
tokeniser's cache. Sides take turns; ratios are of the best runs, over ours. `max_rel_diff` is the largest difference of
an adapted weight over the largest in its tensor, `max_rel_diff_step` that of the movement from the start. `fastest` is
the quickest side. `shared_lower_ratio` is how many times fewer tokens go through the first layer in ours than in the
loop. Second order is the meta-gradient of an episode, queries included, by ours (order 2) and by clones with
create_graph, attention by PyTorch's plain mathematics in both. `peak_mib` is what memory grows by in forward and
backward of one meta-step over inner steps, first order and second (Linux). The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import scoring  # sets the environment, so before torch
import torch
import training
from scoring import MODEL, beyond, finish, rounded, say, summary, take_turns
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from metaicl.lm.backbone import Backbone
from metaicl.lm.config import BackboneConfig
from metaicl.lm.tiny import tiny_model
from metaicl.methods.gradient.maml import MAML
from task_suites.core.errors import UserError
from task_suites.episodes import Episode, EpisodeSampler
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.sources import open_suite
from task_suites.task import Task

LIMITS = {"max_rel_diff": 1e-5, "max_rel_diff_second_order": 1e-3}
Adapted = list[dict[str, Tensor]]  # of each episode
Batch = dict[str, Tensor]


class Answers(nn.Module):
    """The mean negative log-likelihood of answer tokens under a plain model, one demonstration a row."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, rows: Tensor, places: Tensor, targets: Tensor, share: Tensor) -> Tensor:
        """ids `[rows, length]`; the requested tokens, after `places` of `rows`, have these shares of the mean."""
        inner = self.model.get_base_model()
        hidden = inner.base_model(input_ids=ids, use_cache=False).last_hidden_state
        logits = inner.get_output_embeddings()(hidden[rows, places]).float()
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
    rows = training.rows_of(backbone, Episode((0, task.name, "batch", 0), task, (), tuple(examples)))
    ids = torch.zeros(len(rows), max(width, *(len(r.ids) for r in rows)), dtype=torch.long)
    asked = []
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = torch.tensor(row.ids)
        asked += [(i, place - 1, row.ids[place]) for place in range(row.answer, len(row.ids))]
    share = torch.zeros(max(tokens, len(asked)))
    share[: len(asked)] = 1 / len(asked)
    asked += [(0, 0, 0)] * (len(share) - len(asked))
    where, places, targets = torch.tensor(asked).T
    return {"ids": ids, "rows": where, "places": places, "targets": targets, "share": share}


def own_loss(answers: Answers, batch: Batch) -> Tensor:
    """transformers' own, which makes logits at all positions."""
    return answers.model(**batch).loss


def labelled(batch: Batch) -> Batch:
    """Return the same for transformers' own loss."""
    ids, asked = batch["ids"], batch["share"] > 0
    labels = torch.full_like(ids, training.IGNORED)
    rows, places = batch["rows"][asked], batch["places"][asked] + 1
    labels[rows, places] = batch["targets"][asked]
    last = torch.zeros(len(ids), dtype=torch.long).scatter_reduce(0, rows, places, "amax")
    mask = (torch.arange(ids.shape[1]) <= last[:, None]).long()  # an answer's last token is its row's
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


# --- learn2learn's way


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
        asked: the queries, likewise.
    """

    method: MAML
    episodes: Sequence[Episode]
    plain: Answers
    upper: UpperAnswers
    batches: Sequence[Batch]
    padded: Sequence[Batch]
    asked: Sequence[Batch]

    @classmethod
    def of(cls, backbone: Backbone, episodes: Sequence[Episode], steps: int, rate: float) -> Comparison:
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():  # away from the zeros of fresh adapters
            for p in backbone.trainable().values():
                p.add_(0.02 * torch.randn(p.shape, generator=generator))
        plain, upper = (Answers(training.Plain(backbone).model), training.Plain(backbone).model)
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
        places = {n: place for n, place in cloned_weights(mine).items() if n in self.plain.learned()}
        current: dict[str, Tensor] = {}
        for _ in range(steps):
            current = {n: cast(Tensor, module._parameters[name]) for n, (module, name) in places.items()}
            grads = torch.autograd.grad(mine(**batch), list(current.values()), create_graph=order == 2)
            for (n, (module, name)), g in zip(places.items(), grads, strict=True):
                module._parameters[name] = cast(Any, current[n] - self.rate * g)
        return mine, {n: cast(Tensor, module._parameters[name]) for n, (module, name) in places.items()}

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
            grads = torch.autograd.grad(mine(**self.asked[0]), list(start.values()))
        return dict(zip(start, grads, strict=True))


class _Enough(Exception):
    """The states are here; the layers above need not run."""


def difference(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """Return the largest difference of an entry over the largest in its tensor."""
    assert one.keys() == other.keys()
    return training.worst(((one[n] - other[n]).abs().max() / other[n].abs().max()).item() for n in one)


# --- what is measured


def equality(case: Comparison) -> dict[str, Any]:
    start = case.plain.learned()
    found = {name: run() for name, run in case.sides().items()}
    mine = found["ours"]
    step = [{n: p - start[n] for n, p in weights.items()} for weights in mine]
    apart, moved = {}, {}
    for name, theirs in found.items():
        if name == "ours":
            continue
        apart[name] = rounded(training.worst(difference(a, b) for a, b in zip(mine, theirs, strict=True)))
        steps = [{n: p - start[n] for n, p in weights.items()} for weights in theirs]
        moved[name] = rounded(training.worst(difference(a, b) for a, b in zip(step, steps, strict=True)))
    say(f"  adapted weights differ from ours by {apart}, their movement by {moved}")
    far = max((p.abs().max() / start[n].abs().max()).item() for weights in step for n, p in weights.items())
    say(f"  the largest movement of a weight over the largest weight of its tensor: {far:.2f}")
    return {"max_rel_diff": max(apart.values()), "max_rel_diff_step": max(moved.values())}


def lower_ratio(case: Comparison) -> float:
    """Tokens through the first layer with every step running all layers, over ours."""
    tokens: list[int] = []
    mlp = cast(Any, case.method.backbone.lower.layers[0]).mlp  # layers that are passed through do not call it
    hook = mlp.register_forward_hook(lambda module, args, output: tokens.append(output.shape[:-1].numel()))
    case.ours()
    mine = sum(tokens)
    tokens.clear()
    case.unshared()
    hook.remove()
    return sum(tokens) / mine


def compare(case: Comparison, repeats: int) -> dict[str, Any]:
    seconds = take_turns(case.sides(), dict.fromkeys(case.sides(), repeats))
    best = {name: min(values) for name, values in seconds.items()}
    for name, value in best.items():
        say(f"  {name:12} {value:8.3f} s  {value / best['ours']:6.2f}x ours")
    ratios = {name: rounded(value / best["ours"]) for name, value in best.items() if name != "ours"}
    return {
        "speedup_vs_loop": ratios["loop"],
        "speedup_vs_clone": ratios["clone"],
        "speedup_vs_tuned_loop": ratios["tuned"],
        "speedup_of_sharing": ratios["unshared"],
        **{f"time_{name}_over_ours": ratios[name] for name in ("func", "func_shared", "vmap", "vmap_shared")},
        "fastest": min(best, key=lambda name: best[name]),
        "seconds": {name: summary(values) for name, values in seconds.items()},
    }


def second_order(case: Comparison, steps: int, repeats: int) -> dict[str, Any]:
    sides = {
        "ours": partial(case.meta_gradient, 2, steps),
        "clone": partial(case.cloned_meta_gradient, steps),
        "first": partial(case.meta_gradient, 1, steps),
    }
    apart = difference(sides["ours"](), sides["clone"]())
    seconds = {name: min(v) for name, v in take_turns(sides, dict.fromkeys(sides, repeats)).items()}
    say(
        f"  second order, {steps} steps: {seconds['ours']:.3f} s, clone {seconds['clone']:.3f} s, differ by {apart:.1e}"
    )
    return {
        "max_rel_diff_second_order": rounded(apart),
        "speedup_vs_clone_second_order": rounded(seconds["clone"] / seconds["ours"]),
        "second_over_first_order_time": rounded(seconds["ours"] / seconds["first"]),
    }


def memory(case: Comparison, steps: Sequence[int]) -> dict[str, dict[str, float | None]]:
    """MiB by which memory grows in a meta-gradient, over inner steps."""
    found: dict[str, dict[str, float | None]] = {"first": {}, "second": {}}
    for order, name in ((1, "first"), (2, "second")):
        for count in steps:
            before = training.forget_peak()
            case.meta_gradient(order, count)
            found[name][str(count)] = rounded(training.resident("VmHWM") - before) if before else None
        say(f"  peak memory, {name} order, MiB over inner steps: {found[name]}")
    return found


# --- the shapes


def random_episodes(count: int, k: int) -> list[Episode]:
    episodes = []
    for number in range(count):
        task, support, queries = scoring.random_task((number + 1) * k, (number + 1) * k, 4)
        key = (0, task.name, "train", number)
        episodes.append(Episode(key, task, tuple(support[-k:]), tuple(queries[-k:])))
    return episodes


def backbone_and_episodes(args: argparse.Namespace) -> tuple[Backbone, list[Episode]]:
    count, k = (2, 2) if args.quick else (args.episodes, args.k)
    adapters: dict[str, Any] = {
        "dtype": "float32",
        "device": "cpu",
        "lora_r": 4,
        "lora_alpha": 8,
        "target_modules": "query-value",
    }
    if args.model == "random":
        _, tokenizer = scoring.tiny_gpt2()
        model = tiny_model(width=64 if args.quick else 256, layers=6, vocabulary=scoring.VOCABULARY).eval()
        config = BackboneConfig("random", "lora", lora_layers=2, **adapters)
        return Backbone(model, tokenizer, config), random_episodes(count, k)
    if args.data is None:
        raise UserError(f"{args.model} is measured on real tasks", fix="--data FOLDER")
    config = BackboneConfig(args.model, "lora", lora_layers=10, **adapters)
    suite = open_suite(str(args.data))
    tasks = [t for t in suite.split("meta_train") if t.form == "options"][:count]
    sampler = EpisodeSampler(0, k, k)
    return Backbone.load(config), [sampler.draw(task, "train", i) for i, task in enumerate(tasks)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="random", help=f"random, or a model such as {MODEL}")
    parser.add_argument("--data", type=Path, help="folder of real tasks, for a model that is not random")
    parser.add_argument("--episodes", type=int, default=4)
    parser.add_argument("--k", type=int, default=16, help="demonstrations of an episode, and its queries")
    parser.add_argument("--steps", type=int, default=5, help="inner steps")
    parser.add_argument("--rate", type=float, help="theirs; so that weights move as far as they are large")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--curve", type=int, nargs="+", default=[1, 2, 3, 4, 5, 6, 7, 8], help="inner steps of peak_mib"
    )
    parser.add_argument("--quick", action="store_true", help="small numbers: does it run?")
    args = parser.parse_args()
    if args.quick:
        args.repeats, args.curve, args.rate = 1, [1, 2], args.rate or 0.3  # ten times less at a quarter of the width

    backbone, episodes = backbone_and_episodes(args)
    args.rate = args.rate or (3.0 if args.model == "random" else 0.01)
    case = Comparison.of(backbone, episodes, args.steps, args.rate)
    say(f"{args.model}: {len(episodes)} episodes, {args.steps} steps, {backbone.lower.count} layers below the adapters")
    result: dict[str, Any] = {"benchmark": "inner_loop", **equality(case), **compare(case, args.repeats)}
    result["shared_lower_ratio"] = rounded(lower_ratio(case))
    result.update(second_order(case, min(args.curve[-1], 3), min(args.repeats, 3)))
    result["peak_mib"] = memory(case, args.curve)
    setting = {name: getattr(args, name) for name in ("model", "k", "steps", "rate", "quick")}
    setting |= {"episodes": len(episodes), "threads": torch.get_num_threads(), "precision": "float32"}
    result["setting"] = setting
    return finish(result, beyond(result, LIMITS))


if __name__ == "__main__":
    sys.exit(main())
