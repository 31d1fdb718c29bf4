"""In-context learning: the support set is the prompt. Plain ICL, MetaICL (direct and channel), zero-shot and multi-task
learning are values of this one method.

MetaICL / in-context tuning (Min et al. 2022, arXiv 2110.15943; Chen et al. 2022, arXiv 2110.07814): minimise the
negative log-likelihood of query answers given the demonstrations. All queries of an episode stand in one row behind
one copy of the demonstrations; the tree's mask keeps them from seeing each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor

from metaicl.lm.backbone import Backbone, Params
from metaicl.lm.prompt_tree import PromptTree
from metaicl.lm.prompts import EpisodeTree, Overflow, episode_tree, fit, prompt_length
from metaicl.methods.base import Method, ReadUnless
from metaicl.methods.scoring import Calibration, Length, PromptScorer, calibration_rule, length_rule
from task_suites.core.ranges import Share
from task_suites.episodes import Episode
from task_suites.formats.prompt_format import PromptFormat, Segment
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
        calibration: of option scores in answers (`PromptScorer`), not in training. "contextual" and "pmi" serve options
            alone; "demonstrations" leaves texts and tags as they are.
        prior_share: the share of what options score behind empty queries that calibration takes off.
        supervise: "queries", as in the papers, or "all": the demonstrations' answers, each given those before it, have
            the same loss added, token by token; they cost no tokens, and it is another objective.
    """

    trainable = True
    read_unless: ClassVar[ReadUnless] = {"prior_share": ("calibration", "none")}

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
        prior_share: Share = 1.0,
    ):
        super().__init__(backbone, form)
        self.calibration = calibration_rule(form, calibration, prior_share)
        self.demonstrations, self.objective, self.supervise = demonstrations, objective, supervise
        self.length, self.overflow = length_rule(form, length), overflow
        self.prior_share = prior_share
        options_alone = form.channel or calibration in ("contextual", "pmi")
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
        nodes = [each.scored() for each in built]
        values = self.backbone.logprobs([each.tree for each in built], nodes, params)
        start = 0
        for (_, _, queries), each, wanted in zip(prompts, built, nodes, strict=True):
            place = {node: start + i for i, node in enumerate(wanted)}
            start += len(wanted)
            self.dropped += each.dropped
            spans = [*each.shown, *(span for options in each.asked for span in options)]
            found = iter(values[[place[n] for span in spans for n in span]].split([len(span) for span in spans]))
            shown = [next(found) for _ in each.shown]
            asked = [[next(found) for _ in options] for options in each.asked]
            for answer in shown:
                total.append(-answer.sum() if self.objective == "tokens" else -answer.mean())
                weight += len(answer) if self.objective == "tokens" else 1
            for query, scored in zip(queries, asked, strict=True):
                total.append(self._query_loss(scored, query))
                weight += len(scored[0]) if self.objective == "tokens" else 1
        return torch.stack(total).sum(), torch.tensor(float(weight), device=values.device)

    def tokens(self, episode: Episode) -> int:
        """The size of an episode's tree: the tokens that training on it runs."""
        return len(self._tree(episode.task, episode.support if self.demonstrations else (), episode.queries).tree)

    def demonstration_loss(
        self, task: Task, support: Sequence[Example], params: Params | None = None
    ) -> tuple[Tensor, Tensor]:
        """(loss sum, supervised tokens) of all demonstrations' answers, each given those before it, in one pass."""
        prompt, tree = fit(self.backbone, self.form, task, support).prompt, PromptTree()
        nodes = tree.insert(-1, (*prompt.stable, *prompt.rest()))
        wanted = [nodes[i] for span in prompt.answer_spans() for i in span]
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
        scores = torch.stack([s.sum() if self.length == "sum" else s.mean() for s in scored])
        loss = -torch.log_softmax(scores, 0)[right]
        return loss - scored[right].mean() if self.objective == "both" else loss

    def _tree(self, task: Task, support: Sequence[Example], queries: Sequence[Example]) -> EpisodeTree:
        """The tree of one episode: a branch for each query's right answer, or for each of its options."""
        branches = self._branches(task, queries)
        shown = self.supervise == "all"
        return episode_tree(self.backbone, self.form, task, support, branches, self.overflow, shown)

    def _branches(self, task: Task, queries: Sequence[Example]) -> list[list[list[Segment]]]:
        """For each answered query, the branches that its loss needs."""
        among, form = self.objective != "tokens" and task.form == "options", self.form_of(task)
        answers = [form.targets(q) if among or q.options is None else [q.output or ""] for q in queries]
        return [[form.branch(q, a) for a in given] for q, given in zip(queries, answers, strict=True)]

    def longest(self, task: Task, support: Sequence[Example], queries: Sequence[Example]) -> int:
        shown = support if self.demonstrations and self.overflow == "refuse" else ()
        branches = [branch for options in self._branches(task, queries) for branch in options]
        return prompt_length(self.backbone, self.form, task, shown, branches)

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
            prior_share=self.prior_share,
        )
