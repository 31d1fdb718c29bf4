"""In-context learning: the support set is the prompt. Plain ICL, calibrated and zero-shot, are here; what is
meta-trained (MetaICL, in-context tuning, multi-task learning) is in metaicl/methods/in_context/metaicl.py.

The loss of meta-training is the negative log-likelihood of query answers given the demonstrations. All queries of an
episode stand in one row after one copy of the demonstrations; the tree's mask keeps them from seeing each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypedDict

import torch
from torch import Tensor

from metaicl.lm.backbone import Backbone, Params
from metaicl.lm.prompt_tree import PromptTree
from metaicl.lm.prompts import EpisodeTree, Overflow, episode_tree, fit, prompt_length
from metaicl.methods.base import EVERY_FORM, Method, Weights
from metaicl.methods.in_context.answer_loss import AnswerLoss, Objective
from metaicl.methods.in_context.selection import SelectedPredictor, Selection, Selector
from metaicl.methods.label_prior import Calibration, check_calibration
from metaicl.methods.options import ReadUnless
from metaicl.methods.predictor import Predictor
from metaicl.methods.scoring import Length, PromptScorer, length_rule
from task_suites.core.ranges import Natural, Share
from task_suites.episodes import Episode
from task_suites.example import Example, Form
from task_suites.formats.prompt_format import PromptFormat
from task_suites.formats.segments import Segment
from task_suites.task import Task


class Scoring(TypedDict):
    """How options are scored, as `PromptScorer` takes it."""

    length: Length
    overflow: Overflow
    calibration: Calibration
    prior_share: float


class InContext(Method):
    """In-context learning: the demonstrations stand in the prompt. See the module's docstring."""

    label = "Raw ICL"
    note = "the plain backbone with the demonstrations in its prompt"
    paper = "Brown et al. 2020, arXiv 2005.14165"
    weights: ClassVar[Weights | None] = "frozen"
    serves = EVERY_FORM

    @dataclass(frozen=True)
    class Config(Method.Config):
        """The options of methods that put the demonstrations into the prompt.

        Attributes:
            demonstrations: whether the prompt has demonstrations. Without them it is zero-shot learning, or multi-task
                learning if it is meta-trained.
            objective: the loss of meta-training. "tokens" is the negative log-likelihood of the right answer's tokens,
                as in the papers; "answer_mean" is its mean over an answer's tokens. "options" is the cross-entropy of
                the right option among the scores of all options. "both" is the sum of "answer_mean" and "options".
                Without options, the last two are "answer_mean".
            length: how an option's score is reduced over its tokens; null is the format's default.
            overflow: what happens to a prompt that is longer than the context: "refuse" raises an error, "drop" leaves
                out whole demonstrations.
            calibration: how the label prior is estimated that is subtracted from the scores of options: from empty
                queries ("contextual", "pmi"), or from the demonstrations, each scored given others ("cross_fit").
                Training does not subtract it. With "contextual" and "pmi" only options are served; "cross_fit" does not
                change texts and tags.
            prior_share: how much of the label prior of empty queries is subtracted, from 0 (nothing) to 1 (all of it).
            supervise: the answers with a loss: those of the "queries", or "all", which adds those of the
                demonstrations, each given the ones before it.
            shown: the largest number of demonstrations in a prompt; 0 shows all of the support set.
            selection: which demonstrations are shown if there are more: "random" takes the first as they were drawn,
                "balanced" takes classes in turn, "nearest" takes those most similar to the query (BM25), the nearest
                last.
        """

        demonstrations: bool = True
        objective: Objective = "tokens"
        length: Length | None = None
        overflow: Overflow = "refuse"
        calibration: Calibration = "none"
        prior_share: Share = 1.0
        supervise: Literal["queries", "all"] = "queries"
        shown: Natural = 0
        selection: Selection = "random"
        read_unless: ClassVar[ReadUnless] = {"prior_share": ("calibration", "none"), "selection": ("shown", 0)}

    config: Config

    def __init__(self, backbone: Backbone, form: PromptFormat, config: Config):
        super().__init__(backbone, form, config)
        check_calibration(form, config.calibration)
        self.answer_loss = AnswerLoss(config.objective, length_rule(form, config.length))
        if form.channel or config.calibration in ("contextual", "pmi"):
            self.serves = frozenset[Form]({"options"})

    def forward(self, episodes: Sequence[Episode]) -> tuple[Tensor, Tensor]:
        """Weight: supervised tokens for the objective "tokens", else queries."""
        return self.loss([prompt for e in episodes for prompt in self._prompts(e.task, e.support, e.queries)])

    def loss(
        self,
        prompts: Sequence[tuple[Task, Sequence[Example], Sequence[Example]]],
        params: Params | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return (loss sum, weight) of answering queries given demonstrations, for (task, demonstrations, queries)."""
        losses: list[tuple[Tensor, int]] = []
        built = [self.tree(*prompt) for prompt in prompts]
        nodes = [each.scored() for each in built]
        values = self.backbone.logprobs([each.tree for each in built], nodes, params)
        start = 0
        for (_, _, queries), each, wanted in zip(prompts, built, nodes, strict=True):
            place = {node: start + i for i, node in enumerate(wanted)}
            start += len(wanted)
            self.dropped += each.dropped
            spans = [*each.demonstration_spans, *(span for options in each.answer_spans for span in options)]
            found = iter(values[[place[n] for span in spans for n in span]].split([len(span) for span in spans]))
            shown = [next(found) for _ in each.demonstration_spans]
            asked = [[next(found) for _ in options] for options in each.answer_spans]
            losses += map(self.answer_loss.of_answer, shown)
            losses += map(self.answer_loss.of_query, asked, queries)
        total, weights = zip(*losses, strict=True)
        return torch.stack(total).sum(), torch.tensor(float(sum(weights)), device=values.device)

    def tokens(self, episode: Episode) -> int:
        """Return the size of an episode's tree: the tokens that training on it runs."""
        prompts = self._prompts(episode.task, episode.support, episode.queries)
        return sum(len(self.tree(*prompt).tree) for prompt in prompts)

    def demonstration_loss(
        self, task: Task, support: Sequence[Example], params: Params | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return (loss sum, supervised tokens) of all demonstrations' answers, each given those before it, in one
        pass."""
        prompt, tree = fit(self.backbone, self.form, task, support).prompt, PromptTree()
        nodes = tree.insert(-1, (*prompt.stable, *prompt.rest()))
        wanted = [nodes[i] for span in prompt.answer_spans() for i in span]
        values = self.backbone.logprobs([tree], [wanted], params)
        return -values.sum(), torch.tensor(float(len(wanted)), device=values.device)

    def selector(self, task: Task, support: Sequence[Example]) -> Selector:
        """Return what chooses the demonstrations of a prompt from a support set."""
        return Selector(task, support if self.config.demonstrations else (), self.config.selection, self.config.shown)

    def _prompts(
        self, task: Task, support: Sequence[Example], queries: Sequence[Example]
    ) -> list[tuple[Task, Sequence[Example], Sequence[Example]]]:
        """Return (task, demonstrations, the queries that they are shown to) of each prompt of an episode."""
        groups = self.selector(task, support).groups(queries)
        return [(task, shown, [queries[i] for i in places]) for shown, places in groups]

    def tree(self, task: Task, support: Sequence[Example], queries: Sequence[Example]) -> EpisodeTree:
        """Return the tree of one episode: a branch for each query's right answer, or for each of its options."""
        branches = self.branches(task, queries)
        shown = self.config.supervise == "all"
        return episode_tree(self.backbone, self.form, task, support, branches, self.config.overflow, shown)

    def branches(self, task: Task, queries: Sequence[Example]) -> list[list[list[Segment]]]:
        """For each answered query, the branches that its loss needs."""
        return self.answer_loss.branches(self.form_of(task), queries)

    def longest(self, task: Task, support: Sequence[Example], queries: Sequence[Example]) -> int:
        if not queries:  # whatever is scored, these may be shown
            return self._length(task, support[: self.config.shown or len(support)], ())
        return max(self._length(*prompt) for prompt in self._prompts(task, support, queries))

    def _length(self, task: Task, shown: Sequence[Example], queries: Sequence[Example]) -> int:
        """Tokens of the longest sequence of one prompt; what may be dropped does not count."""
        branches = self.branches(task, queries)
        kept = shown if self.config.demonstrations and self.config.overflow == "refuse" else ()
        return prompt_length(self.backbone, self.form, task, kept, branches)

    def adapt(self, task: Task, support: Sequence[Example]) -> Predictor:
        self.check_serves(task)
        return self.predictor(task, support)

    def predictor(self, task: Task, support: Sequence[Example], params: Params | None = None) -> Predictor:
        """Return the predictor given a support set, with other weights where `params` gives them."""
        selector = self.selector(task, support)
        if selector.shared is not None:
            return self.scorer(task, selector.shared, params)
        return SelectedPredictor(selector, lambda shown: self.scorer(task, shown, params))

    def scorer(self, task: Task, shown: Sequence[Example], params: Params | None = None) -> PromptScorer:
        """Return the predictor given the demonstrations of its prompt."""
        return PromptScorer(self.backbone, self.form, task, shown, params=params, **self.scoring())

    def scoring(self) -> Scoring:
        """Return the arguments of a `PromptScorer` that the options set."""
        return {
            "length": self.answer_loss.length,
            "overflow": self.config.overflow,
            "calibration": self.config.calibration,
            "prior_share": self.config.prior_share,
        }


class ZeroShot(InContext):
    """The prompt without demonstrations."""

    label = "Zero-shot"
    note = "the plain backbone without demonstrations"

    @dataclass(frozen=True)
    class Config(InContext.Config):
        demonstrations: bool = False


class CrossFitCalibration(InContext):
    """In-context learning with the calibration that MetaICL has here, by its demonstrations: what MetaICL gains over it
    is meta-training's."""

    label = "Raw ICL, calibrated"
    note = "the plain model with MetaICL's calibration by its demonstrations"

    @dataclass(frozen=True)
    class Config(InContext.Config):
        calibration: Calibration = "cross_fit"
        prior_share: Share = 0.5


class ContextualCalibration(InContext):
    """In-context learning with contextual calibration (Zhao et al. 2021, arXiv 2102.09690)."""

    label = "Raw ICL, contextual"
    note = "contextual calibration by content-free queries"
    paper = "Zhao et al. 2021, arXiv 2102.09690"
    serves = frozenset[Form]({"options"})

    @dataclass(frozen=True)
    class Config(InContext.Config):
        calibration: Calibration = "contextual"


class PMI(InContext):
    """In-context learning with domain-conditional PMI (Holtzman et al. 2021, arXiv 2104.08315)."""

    label = "Raw ICL, PMI"
    note = "each score minus the option's score for an empty query"
    paper = "Holtzman et al. 2021, arXiv 2104.08315"
    serves = frozenset[Form]({"options"})

    @dataclass(frozen=True)
    class Config(InContext.Config):
        calibration: Calibration = "pmi"
