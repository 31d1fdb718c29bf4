"""Matching networks (Vinyals et al. 2016, arXiv 1606.04080) over the backbone's embeddings.

A query attends to all shots, and the attention that a class's shots get together is its probability:
p(y | x) = sum_j softmax_j(s cos(f(x), g(x_j))) [y_j = y]. The paper has s = 1, which is nearly even over cosines of a
language model's vectors; here s is learned from `scale` on, or fixed at it.

With full-context embeddings (`fce`) the shots are read by a bidirectional LSTM whose states are added to them (g), and
a query takes `reads` steps of an LSTM that attends to them (f). Reading goes in the shots' order, so answers depend on
it. f and g start close to the vectors themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from metaicl.lm.backbone import Backbone
from metaicl.methods.metric.embedding import SCALE, EmbeddingMethod
from metaicl.methods.metric.learned_maps import identity_map, initial_weights
from metaicl.methods.options import ReadUnless
from task_suites.core.ranges import Count, Positive
from task_suites.formats.prompt_format import PromptFormat


class MatchingNet(EmbeddingMethod):
    """Matching networks. See the module's docstring."""

    label = "Matching"
    note = "attention over the demonstrations' learned embeddings"
    paper = "Vinyals et al. 2016, arXiv 1606.04080"
    space = SCALE

    @dataclass(frozen=True)
    class Config(EmbeddingMethod.Config):
        """The options of matching networks.

        Attributes:
            distance: "cosine", or "euclidean" (minus the squared distance, its mean over width).
            scale: the factor s of the cosines at the start of meta-training.
            learn_scale: whether s is learned.
            learn_map: whether a linear map of the vectors is learned, started at the identity.
            fce: whether embeddings are put into full context: each one sees the whole support set.
            reads: how many steps the network f takes with `fce`.
        """

        distance: Literal["cosine", "euclidean"] = "cosine"
        scale: Positive = 60.0
        learn_scale: bool = True
        learn_map: bool = True
        fce: bool = False
        reads: Count = 5
        read_unless: ClassVar[ReadUnless] = {"reads": ("fce", False)}

    config: Config

    def __init__(self, backbone: Backbone, form: PromptFormat, config: Config):
        super().__init__(backbone, form, config)
        self.order_free = not config.fce
        self.map: nn.Module = identity_map(self.width) if config.learn_map else nn.Identity()
        self.log_scale = nn.Parameter(torch.tensor(float(config.scale)).log(), requires_grad=config.learn_scale)
        with initial_weights("matching"):
            self.context = FullContext(self.width, config.reads) if config.fce else None

    def logits(self, shots: Tensor, labels: Tensor, queries: Tensor, classes: int) -> Tensor:
        """Log-probabilities of the classes."""
        shots, queries = self.map(shots), self.map(queries)
        if self.context is not None:
            shots, queries = self.context(shots, queries)
        if self.config.distance == "cosine":
            likeness = nn.functional.normalize(queries, dim=1) @ nn.functional.normalize(shots, dim=1).T
        else:
            likeness = -torch.stack([(queries - shot).square().mean(1) for shot in shots], 1)
        attention = (likeness * self.log_scale.exp()).log_softmax(1)
        return torch.stack([attention[:, labels == c].logsumexp(1) for c in range(classes)], 1)


class MatchingNetFCE(MatchingNet):
    """Matching networks with full-context embeddings."""

    label = "Matching, FCE"
    note = "attention over learned embeddings, each in the context of all demonstrations"
    paper = MatchingNet.paper

    @dataclass(frozen=True)
    class Config(MatchingNet.Config):
        fce: bool = True


class FullContext(nn.Module):
    """f and g of the paper's appendix A, on vectors scaled to length one."""

    def __init__(self, width: int, reads: int):
        super().__init__()
        self.reads = reads
        self.shots = nn.LSTM(width, width, bidirectional=True)
        self.query = nn.LSTMCell(2 * width, width)  # reads [f'(x), r]; of the paper's [h, r] h is the cell's own state
        with (
            torch.no_grad()
        ):  # a language model's vectors differ little: what is added to them must start smaller still
            for name, p in self.named_parameters():
                p.mul_(0.0 if "bias" in name else 0.1)

    def forward(self, shots: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
        """g `[n, width]` and f `[queries, width]`."""
        shots, queries = nn.functional.normalize(shots, dim=1), nn.functional.normalize(queries, dim=1)
        ahead, back = self.shots(shots)[0].chunk(2, 1)
        g = ahead + back + shots
        hidden, cell, read = queries, torch.zeros_like(queries), g.mean(0).expand_as(queries)
        for _ in range(self.reads):
            hidden, cell = self.query(torch.cat([queries, read], 1), (hidden, cell))
            hidden = hidden + queries
            read = (hidden @ g.T).softmax(1) @ g
        return g, hidden
