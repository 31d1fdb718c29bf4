"""Three pitfalls of meta-learning, measured: meta-overfitting, task mismatch, and support/query leakage.

    python benchmarks/pitfalls.py --data FOLDER --method protonet       minutes
    python benchmarks/pitfalls.py --data FOLDER --method metaicl        longer; --steps bounds it
    python benchmarks/pitfalls.py --quick                               the tiny model; its numbers mean nothing

`overfitting`: the method is trained on 1, 1/2, 1/4 ... of the meta-training tasks (a nested choice, drawn by seed), and
its mean score on test examples of those tasks (seen), on the meta-validation tasks (unseen) and on the meta-test tasks
(tested) is recorded as training continues. `early_stopping`: the score on the meta-test tasks at the last step, and at
the step that is best on the meta-validation tasks.
`mismatch`: for each meta-validation and meta-test task its distance from the training tasks (one minus the largest
cosine between mean embeddings of 64 inputs by the plain backbone, centred over all tasks) and the gain of the method
trained on all tasks over the untrained one; Spearman's correlation of the two (scipy; null where one of them is
constant).
`leakage`: what the score on meta-validation would be if each query stood among its demonstrations, for the trained
method; `Episode` refuses such an episode, which is checked, so the demonstrations are given to `adapt` by hand.

The last line is one JSON object. (The cost of second order, the fourth pitfall, is benchmarks/inner_loop.py's.)
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # before torch; metaicl/cli/main.py says why

import torch
from scipy.stats import spearmanr

from eval.answering import answer_episode, truth
from eval.metrics import score
from metaicl.lm.backbone import Backbone
from metaicl.lm.config import BackboneConfig
from metaicl.methods import method_class
from metaicl.methods.base import Method
from metaicl.training.checkpoint import MethodConfig
from metaicl.training.config import TrainerConfig
from metaicl.training.run import manifest
from metaicl.training.trainer import Trainer
from task_suites.core.errors import UserError
from task_suites.episodes import Episode, EpisodeSampler
from task_suites.formats.prompt_format import PromptFormat
from task_suites.sources import SuiteConfig
from task_suites.task import Task


def mean_score(method: Method, episodes: Sequence[Episode]) -> float:
    return 100 * sum(answer_episode(method, e).score for e in episodes) / len(episodes)


def overfitting(
    config: MethodConfig,
    tasks: Sequence[Task],
    held_out: Sequence[Episode],
    tested: Sequence[Episode],
    given: argparse.Namespace,
) -> tuple[list[dict[str, Any]], Method]:
    """Return (the curve of each number of training tasks, the method trained on all of them)."""
    order = sorted(tasks, key=lambda t: t.name)
    random.Random("pitfalls/tasks").shuffle(order)
    curves = []
    counts = [max(1, len(order) >> halved) for halved in range(given.halvings, -1, -1)]
    for count in counts:
        chosen = order[:count]
        seen = [EpisodeSampler(7, given.k, given.queries).draw(t, "test", 0) for t in chosen[:8]]
        trainer_config = TrainerConfig(max_steps=given.steps, k=given.k, queries=given.queries, weight_averaging=0.0)
        with tempfile.TemporaryDirectory() as folder:
            method = config.build()
            trainer = Trainer(method, config, chosen, trainer_config, Path(folder), progress=False)
            points = []
            for step in range(given.steps + 1):
                if step % max(1, given.steps // given.points) == 0 or step == given.steps:
                    parts = {"seen": seen, "unseen": held_out, "tested": tested}
                    means = {n: round(mean_score(method, episodes), 2) for n, episodes in parts.items()}
                    points.append({"step": step, **means})
                    print(f"{count} tasks: {points[-1]}", file=sys.stderr)
                if step < given.steps:
                    trainer.take_step()
        best = max(points, key=lambda p: p["unseen"])
        stopping = {"last": points[-1]["tested"], "stopped": best["tested"], "step": best["step"]}
        curves.append({"tasks": count, "points": points, "early_stopping": stopping})
    return curves, method


@torch.no_grad()
def mismatch(
    config: MethodConfig, method: Method, tasks: Sequence[Task], held_out: Sequence[Episode]
) -> dict[str, Any]:
    backbone = Backbone.load(replace(config.backbone, weights="frozen"))

    def centre(task: Task) -> torch.Tensor:
        texts = [backbone.encode(e.text) for e in task.examples("train")[:64]]
        return torch.stack([states.mean(0) for states in backbone.hidden(texts)]).mean(0)

    tested = [e.task for e in held_out]
    centres = torch.stack([centre(t) for t in (*tasks, *tested)])
    centres = torch.nn.functional.normalize(centres - centres.mean(0), dim=1)
    nearest = (centres[len(tasks) :] @ centres[: len(tasks)].T).max(1).values
    before = config.build()
    rows = []
    for episode, cosine in zip(held_out, nearest.tolist(), strict=True):
        gain = mean_score(method, [episode]) - mean_score(before, [episode])
        rows.append({"task": episode.task.name, "distance": round(1 - cosine, 4), "gain": round(gain, 2)})
    gains = [r["gain"] for r in rows]
    if len(set(gains)) < 2:
        return {"tasks": rows, "spearman": None, "p": None}
    rank = spearmanr([r["distance"] for r in rows], gains)
    return {"tasks": rows, "spearman": round(float(rank.statistic), 3), "p": round(float(rank.pvalue), 3)}


def refused(e: Episode) -> bool:
    """Return whether the episode with a query instead of its last demonstration is an error."""
    try:
        Episode(e.key, e.task, (*e.support[:-1], e.queries[0]), e.queries)
    except UserError:
        return True
    return False


def leakage(method: Method, held_out: Sequence[Episode]) -> dict[str, float]:
    """Mean score as it is, and with each query instead of the last demonstration."""
    leaked = []
    for e in held_out:
        if not refused(e):
            raise SystemExit("an episode with a query among its demonstrations was not refused")
        answers = [method.adapt(e.task, (*e.support[:-1], q)).answers([q.hidden()])[0].text for q in e.queries]
        leaked.append(score(e.task.metric, answers, [truth(q) for q in e.queries]))
    return {"sound": round(mean_score(method, held_out), 2), "leaked": round(100 * sum(leaked) / len(leaked), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="embedded")
    parser.add_argument("--method", default="protonet")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--points", type=int, default=4, help="measurements along a training, besides the first")
    parser.add_argument("--halvings", type=int, default=3, help="of the number of training tasks")
    parser.add_argument("--k", type=int, default=16)
    parser.add_argument("--queries", type=int, default=24)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    backbone = BackboneConfig(lora_layers=10)
    if given.quick:
        backbone = BackboneConfig("tiny-random", dtype="float32", lora_layers=1)
        given.steps, given.points, given.halvings, given.k, given.queries = 2, 1, 1, 4, 4
    cls = method_class(given.method)
    config = MethodConfig(given.method, {}, cls.backbone_config(backbone), PromptFormat())
    suite, _ = SuiteConfig([given.data], max_words=40, forms=["options"]).open()
    probe = config.build()
    tasks = [t for t in suite.split("meta_train") if probe.refusal(t) is None]
    sampler = EpisodeSampler(3, given.k, given.queries)
    held_out, tested = (
        [sampler.draw(t, "test", 0) for t in suite.split(name) if probe.refusal(t) is None]
        for name in ("meta_validation", "meta_test")
    )
    curves, method = overfitting(config, tasks, held_out, tested, given)
    found = {
        "benchmark": "pitfalls",
        "method": given.method,
        "overfitting": curves,
        "mismatch": mismatch(config, method, tasks, [*held_out, *tested]),
        "leakage": leakage(method, held_out),
        "manifest": manifest(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
