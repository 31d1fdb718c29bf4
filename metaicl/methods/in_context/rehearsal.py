"""The demonstrations as queries after one prefix: what a prefix is trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from metaicl.lm.backbone import Backbone, Params
from metaicl.lm.prompt_tree import PromptTree, additive_mask, pack
from metaicl.lm.prompts import Prompt
from metaicl.methods.in_context.answer_loss import AnswerLoss
from task_suites.example import Example
from task_suites.formats.segments import Segment


class Rehearsal:
    """Demonstrations as queries in one row, in which none sees another.

    Args:
        prompt: the prompt whose queries they are.
        branches: of each demonstration, the segments of each answer that its loss needs.
        prefix: the number of tokens before all of them, whose states are given with each call.
        between: the tokens after these that stand before each demonstration.
        seen: returns for a step `[demonstrations, prefix]`, which tokens of the prefix each demonstration sees; None
            where all see all.
    """

    def __init__(
        self,
        backbone: Backbone,
        answer_loss: AnswerLoss,
        prompt: Prompt,
        support: Sequence[Example],
        branches: Sequence[Sequence[Sequence[Segment]]],
        prefix: int,
        between: Sequence[int],
        seen: Callable[[int], Tensor | None],
    ):
        self.backbone, self.answer_loss, self.support, self.seen = backbone, answer_loss, tuple(support), seen
        self.forest: list[PromptTree] = []
        self.spans: list[list[list[int]]] = []  # of each demonstration, the nodes of each answer that is scored
        for answers in branches:
            tree = PromptTree()
            after = [-1, *tree.insert(-1, between)][-1]
            self.spans.append([prompt.branch(segments).insert(tree, after) for segments in answers])
            self.forest.append(tree)
        self.wanted = [sorted({node for span in spans for node in span}) for spans in self.spans]
        self.row = pack(self.forest, start=prefix)
        rows = [(r, i) for i, places in enumerate(self.row.row) for r in places if r >= 0]
        self.owner = torch.tensor([i for _, i in sorted(rows)])  # of each row, its demonstration

    def loss(self, cache: Any, step: int, params: Params | None = None) -> Tensor:
        """Return the mean loss of the demonstrations' answers after a prefix with these states."""
        seen, dtype = self.seen(step), self.backbone.mask_dtype
        mask = None
        if seen is not None:
            mask = torch.cat([additive_mask(seen[self.owner], dtype)[None, None], self.row.mask(dtype)], -1)
        values = self.backbone.row_logprobs(self.row, self.forest, self.wanted, past=cache, params=params, mask=mask)
        losses = []
        parts = values.split([len(nodes) for nodes in self.wanted])
        for query, spans, nodes, part in zip(self.support, self.spans, self.wanted, parts, strict=True):
            place = {node: i for i, node in enumerate(nodes)}
            losses.append(self.answer_loss.of_query([part[[place[node] for node in span]] for span in spans], query))
        total, weights = zip(*losses, strict=True)
        return torch.stack(total).sum() / sum(weights)
