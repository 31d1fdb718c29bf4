"""Why do gradient methods score less than fine-tuning? Both take the same number of steps on the same support sets.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/equal_steps.py --tasks weather_sky museum_guestbook
    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/equal_steps.py --runs runs/fomaml      # a trained start beside them

Each way starts at the plain model, or where a trained run starts, and takes all its steps on all demonstrations,
without early stopping: fine-tuning by AdamW, the inner loops of FOMAML and MAML by clipped gradient descent at their
own rates. After each of `--steps`: the mean support loss, the distance from the start (the norm of the change of all
learned weights), and the score on the queries. The last line is JSON; `--output` gets a line for each task and way, and
the same command continues there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eval.metrics import score
from metaicl.lm.backbone import Backbone
from metaicl.lm.config import BackboneConfig
from metaicl.methods import method_class
from metaicl.methods.base import Method
from metaicl.methods.gradient.base import GradientMethod
from metaicl.training.checkpoint import load_method, trained_folder
from metaicl.training.run import manifest
from task_suites.episodes import Episode, EpisodeSampler
from task_suites.formats.prompt_format import PromptFormat
from task_suites.sources import SuiteConfig

WAYS = ("finetune", "fomaml", "maml")
Weights = Mapping[str, Tensor]


def built(way: str, config: BackboneConfig) -> Method:
    """Return a method on the plain model, or a trained one from its folder."""
    if folder := trained_folder(way):
        return load_method(folder)
    cls = method_class(way)
    return cls.build(Backbone.load(cls.backbone_config(config)), PromptFormat())


def weights_after(method: Any, episode: Episode, steps: int) -> Iterator[Weights]:
    """Yield the learned weights at the start and after each step."""
    task, support = episode.task, episode.support
    if isinstance(method, GradientMethod):
        start = method.start()
        yield start
        yield from method.steps(task, support, start, order=0, count=steps)
        return
    params = {n: p.detach().clone().requires_grad_() for n, p in method.backbone.trainable().items()}
    optimizer = torch.optim.AdamW(params.values(), lr=method.config.lr, weight_decay=0.0)
    yield params
    for _ in range(steps):
        loss, weight = method.model.support_loss(task, support, params)
        optimizer.zero_grad()
        (loss / weight).backward()
        torch.nn.utils.clip_grad_norm_(params.values(), 1.0)
        optimizer.step()
        yield params


def measured(method: Any, episode: Episode, steps: Sequence[int]) -> list[dict[str, float]]:
    """Return what is measured at each of the numbers of steps."""
    task, support = episode.task, episode.support
    found, first = list[dict[str, float]](), dict[str, Tensor]()
    for number, params in enumerate(weights_after(method, episode, max(steps))):
        first = first or {name: p.detach().clone() for name, p in params.items()}
        if number not in steps:
            continue
        with torch.no_grad():
            loss, weight = method.model.support_loss(task, support, params)
            moved = sum(float((p - first[name]).square().sum()) for name, p in params.items()) ** 0.5
            answers = method.model.predictor(task, support, params).answers([q.hidden() for q in episode.queries])
        value = score(task.metric, [a.text for a in answers], [q.output or "" for q in episode.queries], None)
        line = {"steps": number, "support_loss": float(loss / weight), "moved": moved, "score": 100 * value}
        found.append({name: float(f"{number:.4g}") for name, number in line.items()})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--suite", default="embedded")
    parser.add_argument("--tasks", nargs="+", help="meta-validation tasks; all with a list of labels by default")
    parser.add_argument("--runs", nargs="*", default=[], help="folders of trained gradient methods")
    parser.add_argument("--ways", nargs="*", default=list(WAYS), help=f"of {', '.join(WAYS)}")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--steps", type=int, nargs="+", default=[0, 1, 3, 10, 30])
    parser.add_argument("--k", type=int, default=16)
    parser.add_argument("--queries", type=int, default=16)
    parser.add_argument("--output", type=Path, help="a file of JSON lines, which is continued")
    args = parser.parse_args()
    suite, _ = SuiteConfig([args.suite], 40, forms=["options"]).open()
    tasks = [t for t in suite.split("meta_validation") if t.labels and t.name in (args.tasks or suite.tasks)]
    setting = {name: getattr(args, name) for name in ("suite", "model", "steps", "k", "queries")}
    lines = args.output.read_text(encoding="utf-8").splitlines() if args.output and args.output.is_file() else []
    done = [line for line in map(json.loads, lines) if line["setting"] == setting]
    for way in (*args.ways, *args.runs):
        method = None
        for task in tasks:
            if any((line["way"], line["task"]) == (way, task.name) for line in done):
                continue
            method = method or built(way, BackboneConfig(args.model, lora_layers=10, dtype="float32"))
            episode = EpisodeSampler(0, args.k, args.queries, stratified=True).draw(task, "test", 0)
            line = {"way": way, "task": task.name, "found": measured(method, episode, args.steps), "setting": setting}
            done.append(line)
            print(way, task.name, line["found"], flush=True)
            if args.output:
                with args.output.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
    means = {way: averaged([line["found"] for line in done if line["way"] == way]) for way in (*args.ways, *args.runs)}
    known = {name: value for name, value in manifest().items() if name in ("machine", "versions")}
    print(json.dumps({"benchmark": "equal_steps", "tasks": len(tasks), "means": means, **setting, **known}))


def averaged(found: Sequence[Sequence[Mapping[str, float]]]) -> list[dict[str, float]]:
    """Return the means over tasks at each number of steps."""
    return [
        {name: round(sum(one[name] for one in at) / len(at), 3) for name in at[0]} for at in zip(*found, strict=True)
    ]


if __name__ == "__main__":
    main()
