"""In-context learning: the support set is the prompt. Plain ICL, MetaICL (direct and channel), zero-shot and multi-task
learning are values of this one method.

MetaICL / in-context tuning (Min et al. 2022, arXiv 2110.15943; Chen et al. 2022, arXiv 2110.07814): minimise the
negative log-likelihood of query answers given the demonstrations. All queries of an episode stand in one row behind
one copy of the demonstrations; the tree's mask keeps them from seeing each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from metaicl.backbone import Backbone, Params
from metaicl.methods.base import Method
from metaicl.prompt_tree import PromptTree
from metaicl.scoring import Calibration, Length, Overflow, PromptScorer, insert_branch, length_rule, prompt_prefix
from task_suites.episodes import Episode
from task_suites.formats import PromptFormat
from task_suites.task import Example, Form, Task

Objective = Literal["tokens", "options", "both"]


class InContext(Method):
    """See the module's docstring.

    Args:
        demonstrations: False leaves them out: zero-shot, or multi-task learning when meta-trained.
        objective: "tokens" is the papers' likelihood of the right answer's tokens, each token with the same weight;
            "options" the cross-entropy of the right option among the options by their scores, each query with the
            same weight; "both" their sum, with the likelihood's mean over the answer's tokens. An example without
            options keeps the likelihood.
        length: how option scores are reduced over tokens; None is the format's default.
        overflow: what happens to a prompt beyond the context: "refuse", or "drop" whole demonstrations.
        calibration: of option scores: "contextual" or "pmi" (`PromptScorer`).
        supervise: "queries", as in the papers, or "all": the demonstrations' answers, each given those before it, have
            the same loss added, token by token; they cost no tokens, and it is another objective.
    """

    trainable = True

    def __init__(
        self,
        backbone: Backbone,
        form: PromptFormat,
        demonstrations: bool = True,
        objective: Objective = "tokens",
        length: Length | None = None,
        overflow: Overflow = "refuse",
        calibration: Calibration = "none",
        supervise: Literal["queries", "all"] = "queries",
    ):
        super().__init__(backbone, form)
        self.calibration, self.supervise = calibration, supervise
        self.demonstrations, self.objective = demonstrations, objective
        self.length, self.overflow = length_rule(form, length), overflow
        options_alone = form.channel or calibration != "none"
        self.serves = frozenset[Form]({"options"} if options_alone else {"options", "text", "tags"})

    def forward(self, episodes: Sequence[Episode]) -> tuple[Tensor, Tensor]:
        """Weight: supervised tokens for the objective "tokens", else queries."""
        supports = [e.support if self.demonstrations else () for e in episodes]
        return self.loss([(e.task, s, e.queries) for e, s in zip(episodes, supports, strict=True)])

    def loss(
        self,
        prompts: Sequence[tuple[Task, Sequence[Example], Sequence[Example]]],
        params: Params | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(loss sum, weight) of answering queries behind demonstrations, for (task, demonstrations, queries)."""
        total: list[Tensor] = []
        weight = 0
        built = [self._tree(*prompt) for prompt in prompts]
        nodes = [
            sorted({n for spans in (shown, *asked) for span in spans for n in span}) for _, shown, asked, _ in built
        ]
        values = self.backbone.logprobs([tree for tree, *_ in built], nodes, params)
        start = 0
        for (_, _, queries), (_, shown, asked, dropped), wanted in zip(prompts, built, nodes, strict=True):
            place = {node: start + i for i, node in enumerate(wanted)}
            start += len(wanted)
            self.dropped += dropped
            for span in shown:
                scored = values[[place[n] for n in span]]
                total.append(-scored.sum() if self.objective == "tokens" else -scored.mean())
                weight += len(span) if self.objective == "tokens" else 1
            for query, options in zip(queries, asked, strict=True):
                answers = [values[[place[n] for n in span]] for span in options]
                total.append(self._query_loss(answers, query))
                weight += len(answers[0]) if self.objective == "tokens" else 1
        return torch.stack(total).sum(), torch.tensor(float(weight), device=values.device)

    def tokens(self, episode: Episode) -> int:
        """The size of an episode's tree: the tokens that training on it runs."""
        return len(self._tree(episode.task, episode.support if self.demonstrations else (), episode.queries)[0])

    def demonstration_loss(
        self, task: Task, support: Sequence[Example], params: Params | None = None
    ) -> tuple[Tensor, Tensor]:
        """(loss sum, supervised tokens) of all demonstrations' answers, each given those before it, in one pass."""
        tree = PromptTree()
        prefix, _ = prompt_prefix(self.backbone, self.form, task, support, 0)
        tree.insert(-1, prefix)
        wanted = [node for span in self._answers_in_prefix(task, support) for node in span]
        values = self.backbone.logprobs([tree], [wanted], params)
        return -values.sum(), torch.tensor(float(len(wanted)), device=values.device)

    def _query_loss(self, scored: Sequence[Tensor], query: Example) -> Tensor:
        """The loss of one query from the log-probabilities of its right answer's tokens, or of each option's."""
        if self.objective == "tokens":
            return -scored[0].sum()
        if len(scored) == 1:
            return -scored[0].mean()
        assert query.options is not None and query.output is not None
        right = query.options.index(query.output)
        reduce = torch.sum if self.length == "sum" else torch.mean
        loss = -torch.log_softmax(torch.stack([reduce(s) for s in scored]), 0)[right]
        return loss - scored[right].mean() if self.objective == "both" else loss

    def _tree(
        self, task: Task, support: Sequence[Example], queries: Sequence[Example]
    ) -> tuple[PromptTree, list[list[int]], list[list[list[int]]], int]:
        """(tree of one episode, scored nodes of each supervised demonstration, for each query those of its answer or of
        each of its options, demonstrations dropped)."""
        among = self.objective != "tokens" and queries[0].form == "options"
        form = self.form_of(task)
        answers = [form.targets(q) if among or q.options is None else [q.output or ""] for q in queries]
        branches = [[form.branch(q, a) for a in given] for q, given in zip(queries, answers, strict=True)]
        longest = max(
            sum(len(self.backbone.encode(s.text)) for s in branch) for options in branches for branch in options
        )
        prefix, dropped = prompt_prefix(self.backbone, form, task, support, longest, self.overflow)
        tree = PromptTree()
        after = tree.insert(-1, prefix)[-1] if prefix else -1
        kept = support[: len(support) - dropped] if self.supervise == "all" else ()
        asked = [[insert_branch(self.backbone, tree, after, b) for b in options] for options in branches]
        return tree, self._answers_in_prefix(task, kept), asked, dropped

    def _answers_in_prefix(self, task: Task, support: Sequence[Example]) -> list[list[int]]:
        """The nodes of each demonstration's answer in a tree that begins with the prompt's prefix."""
        form = self.form_of(task)
        spans, start = list[list[int]](), sum(len(self.backbone.encode(s.text)) for s in form.opening(task))
        for example in support:
            for segment in form.demonstration(example):
                stop = start + len(self.backbone.encode(segment.text))
                if segment.scored:
                    spans.append(list(range(max(1, start), stop)))  # nothing stands before the very first token
                start = stop
        return spans

    def adapt(self, task: Task, support: Sequence[Example]) -> PromptScorer:
        self.check_serves(task)
        return self.predictor(task, support)

    def predictor(self, task: Task, support: Sequence[Example], params: Params | None = None) -> PromptScorer:
        """The predictor behind these demonstrations, with other weights where `params` gives them."""
        shown = support if self.demonstrations else ()
        return PromptScorer(
            self.backbone,
            self.form,
            task,
            shown,
            params=params,
            length=self.length,
            overflow=self.overflow,
            calibration=self.calibration,
        )
