"""Methods on embeddings in float64, and vectors for them."""

from __future__ import annotations

import torch
from torch import nn
from toys import tag_task, toy_task

from metaicl.lm.backbone import Backbone
from metaicl.methods.in_context.items import normalised
from metaicl.methods.metric.embedding import EmbeddingMethod
from metaicl.methods.metric.matching import MatchingNet
from metaicl.methods.metric.protonet import ProtoNet
from metaicl.methods.metric.relation import RelationNet
from metaicl.methods.metric.ridge import LRD2, R2D2
from metaicl.methods.metric.snail import SNAIL
from task_suites.episodes import EpisodeSampler
from task_suites.formats.prompt_format import PromptFormat

FORM = PromptFormat()
EPISODE = EpisodeSampler(0, 6, 5).draw(toy_task(), "test", 0)
TAGGED = EpisodeSampler(0, 6, 5).draw(tag_task(), "test", 0)
LEARNED = {
    "protonet": (ProtoNet, {}),
    "cosine": (ProtoNet, {"distance": "cosine"}),
    "matching": (MatchingNet, {}),
    "matching_fce": (MatchingNet, {"fce": True}),
    "relation": (RelationNet, {}),
    "r2d2": (R2D2, {}),
    "lrd2": (LRD2, {}),
    "snail": (SNAIL, {"slots": 4, "length": 8, "width": 8, "filters": 4}),
}


def make(name: str, backbone: Backbone, dtype: torch.dtype = torch.float64, **options) -> EmbeddingMethod:
    """A method whose own weights are in `dtype`; the backbone, which tests share, stays as it is."""
    cls, own = LEARNED[name]
    method = cls(backbone, FORM, cls.Config(**{**own, **options}))
    for p in own_weights(method):
        p.data = p.data.to(dtype)
    return method


def own_weights(method: nn.Module) -> list[nn.Parameter]:
    return [p for n, p in method.named_parameters() if not n.startswith("backbone.")]


def items(
    n: int = 7, queries: int = 4, width: int = 64, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Vectors of shots in three classes (unequal in number) and of queries, in float64."""
    generator = torch.Generator().manual_seed(seed)
    x = normalised(torch.randn(n + queries, width, generator=generator, dtype=torch.float64))
    return x[:n], torch.tensor([0, 1, 2, 0, 0, 1, 0][:n]), x[n:]


def perturb(method: nn.Module) -> nn.Module:
    """Away from its start, where some derivatives are zero for being at the start."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in own_weights(method):
            if p.requires_grad:
                p.add_(0.05 * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    return method
