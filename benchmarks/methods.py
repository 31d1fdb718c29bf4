"""What each method costs: meta-training per episode, adapting to a task, answering a query afterwards.

    python benchmarks/methods.py --data FOLDER            smollm2-135m on tasks of FOLDER (minutes)
    python benchmarks/methods.py --quick                  the tiny model on a built-in task; its numbers mean nothing

One classification task, 16 demonstrations and 16 queries. For each method of the registry that serves it:

    train_gflop, train_s      forward and backward of one training episode
    adapt_gflop, adapt_s      `adapt` and `prepare`: what is done once for a support set
    query_gflop, query_s      one query of 16 answered together, after that
    train_mib, adapt_mib      what memory grows by in the episode, and in adapting (Linux)
    order                     of the derivatives that meta-training takes

Operations are PyTorch's own count (`torch.utils.flop_counter`: two for each multiply-add of matrix products), with the
fused CPU attention added to it; a causal kernel counts as a full one. Seconds are the median of --repeats, on as many
threads as PyTorch takes. Embeddings that a frozen backbone keeps are dropped before each measurement, so metric methods
pay for theirs. The check is that answers and losses are the same in every repeat, in fp32: counting operations turns
fused kernels off, and in bf16 a loss then differs by some 1e-4. The last line is one JSON object, which `--output` also
writes into a file, beside the rows that it has of other methods: `results/costs/costs.json` is where docs/results.py
reads it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measuring  # noqa: F401 - it sets the environment, so before torch
import torch
from measuring import forget_peak, resident
from torch.utils.flop_counter import FlopCounterMode

from metaicl.lm import tiny
from metaicl.lm.config import ENCODER, BackboneConfig
from metaicl.lm.kinds import AnyBackbone, load_backbone
from metaicl.methods import METHODS, method_class
from metaicl.methods.base import Method
from metaicl.training.run import manifest
from task_suites.core.errors import UserError
from task_suites.episodes import EpisodeSampler
from task_suites.formats.prompt_format import PromptFormat
from task_suites.sources import open_suite


def _attention_flops(query: Any, key: Any, *rest: Any, out_shape: Any = None, **options: Any) -> int:
    batch, heads, rows, width = query
    return int(4 * batch * heads * rows * key[2] * width)


def _attention_backward_flops(
    grad: Any, query: Any, key: Any, *rest: Any, out_shape: Any = None, **options: Any
) -> int:
    return int(2.5 * _attention_flops(query, key))  # five products where forward has two


_ops = torch.ops.aten
COUNTED = {
    _ops._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
    _ops._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward_flops,
}


@dataclass(frozen=True)
class Measured:
    """What some work costs: GFLOP where they were counted, median seconds, the most MiB that memory grew by; and what
    each run gave."""

    gflop: float | None
    seconds: float
    mib: float | None
    results: list[Any]


def measured(work: Callable[[], Any], before: Callable[[], Any], repeats: int) -> Measured:
    """Measure some work; `before` runs before each repeat, off the clock. No repeats: once, and nothing is counted."""
    seconds, grown, results = list[float](), list[float | None](), list[Any]()
    gflop = None
    if repeats:
        before()
        with FlopCounterMode(display=False, custom_mapping=COUNTED) as counter:
            results.append(work())
        gflop = counter.get_total_flops() / 1e9
    for _ in range(max(1, repeats)):
        before()
        held = forget_peak()
        started = time.perf_counter()
        results.append(work())
        seconds.append(time.perf_counter() - started)
        grown.append(resident("VmHWM") - held if held else None)
    known = [mib for mib in grown if mib is not None]
    return Measured(gflop, statistics.median(seconds), max(known, default=None), results)


def cost(method: Method, episodes: tuple[Any, Any], trained: bool, repeats: int) -> dict[str, float]:
    """Return a method's numbers; see the module's docstring."""
    training, asked = episodes
    backbone = method.backbone
    row: dict[str, float | None] = {"order": getattr(method.config, "order", 1)} if trained else {}

    def train() -> float:
        loss, weight = method([training])
        (loss / weight).backward()
        method.zero_grad()
        return float(loss.detach())

    def adapt() -> Any:
        predictor = method.adapt(asked.task, asked.support)
        predictor.prepare()
        return predictor

    if trained:
        done = measured(train, backbone.shared.clear, repeats)
        row |= {"train_gflop": done.gflop, "train_s": done.seconds, "train_mib": done.mib}
        losses = done.results
        spread = (max(losses) - min(losses)) / max(1e-9, abs(losses[0]))
        if spread > 1e-5:
            raise SystemExit(f"{type(method).__name__}: the loss of one episode differs between runs by {spread:.1e}")
    done = measured(adapt, backbone.shared.clear, repeats)
    row |= {"adapt_gflop": done.gflop, "adapt_s": done.seconds, "adapt_mib": done.mib}
    predictors = done.results

    def forget_queries() -> None:
        backbone.shared.clear()
        predictors[-1].prepare()

    queries = [q.hidden() for q in asked.queries]
    done = measured(lambda: predictors[-1].answers(queries), forget_queries, repeats)
    row |= {"query_gflop": done.gflop and done.gflop / len(queries), "query_s": done.seconds / len(queries)}
    answers = done.results
    if any([a.text for a in again] != [a.text for a in answers[0]] for again in answers):
        raise SystemExit(f"{type(method).__name__}: answers differ between runs")
    return {name: float(f"{value:.4g}") for name, value in row.items() if value is not None}


def built(
    name: str, config: BackboneConfig, given: argparse.Namespace, backbones: dict[BackboneConfig, AnyBackbone]
) -> Method:
    """Return a method on its backbone, which is loaded once."""
    cls = method_class(name)
    wanted = cls.backbone_config(
        config if "causal" in cls.backbones else BackboneConfig(given.encoder, dtype="float32")
    )
    if wanted not in backbones:
        backbones[wanted] = load_backbone(wanted)
    own = cls.Config.__dataclass_fields__
    options = {n: given.steps for n in ("test_steps", "steps") if given.steps and n in own}
    return cls.build(backbones[wanted], PromptFormat(), options).to(backbones[wanted].device)


def measured_before(output: Path | None, about: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return the rows that a file has of the same setting; what is measured now replaces its own row only."""
    if not (output and output.is_file()):
        return {}
    stored = json.loads(output.read_text(encoding="utf-8"))
    same = all(stored.get(name) == value for name, value in about.items())
    return dict(stored["methods"]) if same else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="embedded")
    parser.add_argument("--train-task", default="", help="a meta-training task with fixed labels")
    parser.add_argument("--task", default="", help="the task that is adapted to")
    parser.add_argument("--methods", default="", help="names with commas; all by default")
    parser.add_argument("--encoder", default=ENCODER, help="the model of methods that run on sentence encoders only")
    parser.add_argument("--repeats", type=int, default=3, help="0: once, without counting operations")
    parser.add_argument("--steps", type=int, help="adapt by this many steps: memory does not depend on their number")
    parser.add_argument("--output", type=Path, help="a file of the JSON object, whose other rows stay")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    config = BackboneConfig(lora_layers=10, dtype="float32")
    k = queries = 16
    if given.quick:
        config, k, queries = BackboneConfig("tiny-random", dtype="float32", lora_layers=1), 4, 4
        given.repeats = min(1, given.repeats)
        given.encoder = tiny.ENCODER
    suite = open_suite(given.data)
    labelled = {s: [t for t in suite.split(s) if t.labels and t.form == "options"] for s in ("meta_train", "meta_test")}
    train_task = suite[given.train_task or labelled["meta_train"][0].name]
    task = suite[given.task or labelled["meta_test"][0].name]
    episodes = (
        EpisodeSampler(0, k, queries, max_classes=8).draw(train_task, "train", 0),
        EpisodeSampler(0, k, queries).draw(task, "test", 0),
    )
    backbones: dict[BackboneConfig, AnyBackbone] = {}
    about = {"model": config.model, "task": task.name, "train_task": train_task.name, "k": k, "queries": queries}
    rows = measured_before(given.output, about)
    found = {"benchmark": "methods", **about, "methods": rows, "manifest": manifest()}
    for name in given.methods.split(",") if given.methods else METHODS:
        method = built(name, config, given, backbones)
        if method.refusal(task):
            continue
        try:
            rows[name] = cost(method, episodes, method.meta_trained, given.repeats)
        except UserError as error:
            raise SystemExit(f"{name}: {error}") from None
        print(f"{name:18}" + "  ".join(f"{n} {v:9.4g}" for n, v in rows[name].items()), file=sys.stderr, flush=True)
        if given.output:  # what is measured is kept, wherever the run ends
            given.output.parent.mkdir(parents=True, exist_ok=True)
            given.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
