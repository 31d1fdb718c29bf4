"""SNAIL and relation networks learn the nearest-neighbour rule where they can: hundreds of episodes of classes that are
new each time. Their rows on real tasks, with few of these and few training tasks, are another matter."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from backbones import make_encoder
from torch import Tensor, nn

from metaicl.methods.metric.embedding import EmbeddingMethod
from metaicl.methods.metric.relation import RelationNet
from metaicl.methods.metric.snail import SNAIL
from task_suites.formats.prompt_format import PromptFormat

CLASSES, SHOTS, QUERIES = 4, 8, 16
SNAIL_OPTIONS = {"slots": CLASSES, "length": SHOTS + 1, "width": 32, "filters": 16}


@dataclass(frozen=True)
class Draw:
    shots: Tensor
    labels: Tensor
    queries: Tensor
    targets: Tensor

    def nearest(self) -> Tensor:
        """The class of the nearest shot."""
        return self.labels[torch.cdist(self.queries, self.shots).argmin(1)]


def drawn(generator: torch.Generator, width: int) -> Draw:
    """Classes around directions of their own, new in every draw, as far apart as texts of an encoder are."""
    centres = nn.functional.normalize(torch.randn(CLASSES, width, generator=generator), dim=1)
    labels = torch.arange(SHOTS)[torch.randperm(SHOTS, generator=generator)] % CLASSES
    targets = torch.randint(CLASSES, (QUERIES,), generator=generator)

    def vectors(classes: Tensor) -> Tensor:
        noise = torch.randn(len(classes), width, generator=generator) / width**0.5
        return nn.functional.normalize(centres[classes] + 0.5 * noise, dim=1) * width**0.5

    return Draw(vectors(labels), labels, vectors(targets), targets)


def logits(method: EmbeddingMethod, draw: Draw, generator: torch.Generator) -> Tensor:
    if isinstance(method, SNAIL):  # no slot comes to mean anything
        method.slot_order = torch.randperm(method.config.slots, generator=generator)
    return method.logits(draw.shots, draw.labels, draw.queries, CLASSES)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cls", "options", "steps", "share"), [(SNAIL, SNAIL_OPTIONS, 800, 0.95), (RelationNet, {}, 200, 0.999)]
)
def test_hundreds_of_episodes_teach_the_nearest_neighbour_rule(cls, options, steps, share):
    method = cls.build(make_encoder(), PromptFormat(), options)
    learned = list(method.learned().values())
    optimizer = torch.optim.AdamW(learned, lr=3e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 50) * (1 - step / steps))
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        draws = [drawn(generator, method.width) for _ in range(4)]
        losses = [method.loss(logits(method, draw, generator), draw.targets) for draw in draws]
        optimizer.zero_grad()
        (torch.stack(losses).sum() / (4 * QUERIES)).backward()
        nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        schedule.step()
    right = {"learned": 0, "nearest": 0}
    with torch.no_grad():
        for _ in range(100):
            draw = drawn(generator, method.width)
            right["learned"] += int((logits(method, draw, generator).argmax(1) == draw.targets).sum())
            right["nearest"] += int((draw.nearest() == draw.targets).sum())
    assert right["nearest"] > 0.99 * 100 * QUERIES  # the classes are far apart; one in four is chance
    assert right["learned"] >= share * right["nearest"]  # SNAIL 0.98 after 600 steps, relation networks 1 after 100
