"""Whether SNAIL and relation networks reach the nearest-neighbour rule on a sentence encoder's vectors of real tasks.

    python benchmarks/learned_metrics.py --data ../shared/data/realtasks                    # ten minutes of one core
    python benchmarks/learned_metrics.py --data ../shared/data/realtasks --steps 20 --embedded 40   # a quick look

Every classification task's examples are embedded once; episodes are then drawn from vectors, so that thousands of them
cost minutes: four classes, in an order of their own in every episode, 16 shots and 16 queries. Training is on the
meta-training tasks with at least two labels, and the score is the accuracy on new episodes of these tasks (seen) and on
those of the meta-validation and meta-test tasks (unseen). Beside it stand what needs no training: the nearest shot and
the nearest class mean. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import metaicl
from metaicl.lm.config import BackboneConfig
from metaicl.lm.encoder import Encoder
from metaicl.methods.metric.embedding import EmbeddingMethod
from metaicl.methods.metric.protonet import ProtoNet, class_means
from metaicl.methods.metric.relation import RelationNet
from metaicl.methods.metric.snail import SNAIL
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Task

CLASSES, SHOTS, QUERIES = 4, 16, 16
METHODS: dict[str, tuple[type[EmbeddingMethod], dict[str, object]]] = {
    "protonet": (ProtoNet, {}),
    "relation": (RelationNet, {}),
    "snail": (SNAIL, {"slots": CLASSES, "length": SHOTS + 1}),
}


@dataclass(frozen=True)
class Vectors:
    """A task's examples `[n, width]` by class."""

    name: str
    classes: Sequence[Tensor]

    def draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return (shots, their classes, queries, theirs); no example is in both."""
        order = torch.randperm(len(self.classes), generator=generator)[:CLASSES].tolist()
        shots, labels, queries, targets = [], [], [], []
        for number, index in enumerate(order):
            rows = self.classes[index]
            rows = rows[torch.randperm(len(rows), generator=generator)]
            taken = min(SHOTS // len(order), len(rows) // 2)
            asked = rows[taken : taken + QUERIES // len(order)]
            shots.append(rows[:taken])
            queries.append(asked)
            labels += [number] * taken
            targets += [number] * len(asked)
        mixed = torch.randperm(len(labels), generator=generator)
        return torch.cat(shots)[mixed], torch.tensor(labels)[mixed], torch.cat(queries), torch.tensor(targets)


def embedded(tasks: Sequence[Task], method: EmbeddingMethod, most: int) -> list[Vectors]:
    """Return the vectors of at most `most` examples of each task, as the methods see them, of classes with four."""
    found = []
    for task in tasks:
        examples = (*task.examples("train"), *task.examples("test"))[:most]
        with torch.no_grad():
            rows = method.embed(examples)
        by_class = [rows[[i for i, e in enumerate(examples) if e.output == label]] for label in task.labels]
        classes = [rows for rows in by_class if len(rows) >= 4]
        if len(classes) >= 2:
            found.append(Vectors(task.name, classes))
    return found


def logits(
    method: EmbeddingMethod, shots: Tensor, labels: Tensor, queries: Tensor, generator: torch.Generator
) -> Tensor:
    if isinstance(method, SNAIL):  # no slot comes to mean anything
        method.slot_order = torch.randperm(method.config.slots, generator=generator)
    return method.logits(shots, labels, queries, int(labels.max()) + 1)


def accuracies(tasks: Sequence[Vectors], method: EmbeddingMethod, episodes: int) -> dict[str, float]:
    """Return the mean accuracy over tasks of the method, of the nearest shot and of the nearest class mean."""
    right: dict[str, list[float]] = {"learned": [], "nearest": [], "means": []}
    generator = torch.Generator().manual_seed(1)
    for task in tasks:
        for _ in range(episodes):
            shots, labels, queries, targets = task.draw(generator)
            with torch.no_grad():
                guess = logits(method, shots, labels, queries, generator).argmax(1)
            near = labels[torch.cdist(queries, shots).argmin(1)]
            mean = torch.cdist(queries, class_means(shots, labels, int(labels.max()) + 1)).argmin(1)
            for name, answer in (("learned", guess), ("nearest", near), ("means", mean)):
                right[name].append(float((answer == targets).float().mean()))
    return {name: round(100 * sum(values) / len(values), 1) for name, values in right.items()}


def train(method: EmbeddingMethod, tasks: Sequence[Vectors], steps: int, rate: float, noise: float) -> None:
    """Take steps of four episodes each.

    Args:
        noise: the standard deviation of noise that is added to the vectors of training episodes.
    """
    learned = list(method.learned().values())
    optimizer = torch.optim.AdamW(learned, lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 50) * (1 - step / steps))
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        losses, weight = [], 0
        for _ in range(4):
            index = int(torch.randint(len(tasks), (), generator=generator))
            shots, labels, queries, targets = tasks[index].draw(generator)
            shots, queries = (x + noise * torch.randn(x.shape, generator=generator) for x in (shots, queries))
            losses.append(method.loss(logits(method, shots, labels, queries, generator), targets))
            weight += len(targets)
        optimizer.zero_grad()
        (torch.stack(losses).sum() / weight).backward()
        nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        schedule.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a folder of tasks")
    parser.add_argument("--model", default="minilm-l6", help="a sentence encoder")
    parser.add_argument("--steps", type=int, nargs="+", default=[500, 2000], help="steps of four episodes")
    parser.add_argument("--embedded", type=int, default=300, help="examples of a task that are embedded")
    parser.add_argument("--episodes", type=int, default=20, help="episodes a task for the score")
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.5], help="of the vectors in training")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    encoder = Encoder.load(BackboneConfig(given.model, device="cpu", weights="frozen"))
    suite = metaicl.load_suite(given.data, max_words=40, forms=["options"])
    plain = ProtoNet.build(encoder, PromptFormat())
    seen = embedded([t for t in suite.split("meta_train") if t.labels], plain, given.embedded)
    held_out = [*suite.split("meta_validation"), *suite.split("meta_test")]
    unseen = embedded([t for t in held_out if t.labels], plain, given.embedded)
    print(f"{len(seen)} tasks seen, {len(unseen)} unseen")
    rows = []
    for name in given.methods:
        cls, options = METHODS[name]
        for steps in given.steps:
            for noise in given.noise:
                method, start = cls.build(encoder, PromptFormat(), options), time.perf_counter()
                train(method, seen, steps, 1e-3, noise)
                row = {"method": name, "episodes": 4 * steps, "noise": noise}
                row |= {"seen": accuracies(seen, method, given.episodes)}
                row |= {"unseen": accuracies(unseen, method, given.episodes)}
                rows.append(row)
                print(row, f"{time.perf_counter() - start:.0f} s", flush=True)
    print(json.dumps({"learned_metrics": rows}))


if __name__ == "__main__":
    main()
