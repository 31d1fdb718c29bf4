"""Scores of options and generated text for many queries after one prompt prefix.

The prefix (instruction and demonstrations) runs once (metaicl/methods/cached_prompt.py). Queries and options follow as
branches of one token trie, in packed rows of a bounded number of tokens, the longest first. Where memory runs out, the
bound is halved and the row is tried again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from copy import copy
from itertools import chain, islice
from typing import Literal

import numpy as np
import torch

from metaicl.lm.backbone import Backbone, Params
from metaicl.lm.memory import out_of_memory
from metaicl.lm.prompt_tree import PromptTree, pack
from metaicl.lm.prompts import Branch, Fitted, Overflow
from metaicl.lm.search import TreeDecoder, plain_search, search
from metaicl.lm.shared_work import are_rows_shared, row_key
from metaicl.methods.cached_prompt import Branches, CachedPrompt
from metaicl.methods.label_prior import (
    Calibration,
    blank_prior,
    blank_queries,
    check_calibration,
    cross_fitted_prior,
    crosses,
)
from metaicl.methods.predictor import Predictor
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.formats.segments import Segment
from task_suites.task import Task

log = logging.getLogger("metaicl")
Length = Literal["sum", "token_mean", "character_mean"]


def length_rule(form: PromptFormat, length: Length | None) -> Length:
    """Return how an option's score is reduced over its tokens: as requested, else the mean (direct) or the sum
    (channel)."""
    return length or ("sum" if form.channel else "token_mean")


class PromptScorer(Predictor):
    """Answers queries of one task given one support set, whose states it keeps between calls.

    Args:
        length: how an option's score is reduced over its scored tokens; None is the format's default (`length_rule`);
            "character_mean" divides the sum by the characters of the scored text (lm-evaluation-harness' acc_norm).
        overflow: what happens to a prompt beyond the context (`fit`).
        calibration: the label prior that is subtracted from an option's score (metaicl/methods/label_prior.py). That of
            a list of options is computed once; queries without content are further branches of the same tree.
        prior_share: the share of the prior of empty queries that is subtracted; that of demonstrations is subtracted
            whole.
        row_tokens: most tokens of one packed row; a query with more is processed by itself. None: what suits the
            backbone (`Backbone.row_tokens`).
        prompt: the prompt with its states; None: one whose states are those that the model reads.

    Attributes:
        dropped: demonstrations that the overflow policy left out of the last call's prompts.

    Raises:
        UserError: calibration of a channel prompt by empty queries.
    """

    def __init__(
        self,
        backbone: Backbone,
        form: PromptFormat,
        task: Task,
        support: Sequence[Example],
        *,
        params: Params | None = None,
        length: Length | None = None,
        overflow: Overflow = "refuse",
        calibration: Calibration = "none",
        prior_share: float = 1.0,
        row_tokens: int | None = None,
        prompt: CachedPrompt | None = None,
    ):
        self.backbone, self.task, self.params = backbone, task, params
        self.prompt = prompt or CachedPrompt(backbone, form, task, support, params, overflow)
        self.form = self.prompt.form
        self.row_tokens = row_tokens or backbone.row_tokens
        check_calibration(form, calibration)
        self.calibration, self.prior_share = calibration, prior_share
        self.length = length_rule(form, length)
        self.dropped = 0
        self._priors: dict[tuple[str, ...], np.ndarray] = {}  # what calibration subtracts, by the list of options

    @torch.no_grad()
    def prepare(self) -> None:
        """Run the prompt's prefix (of a prompt that shares it), and what calibrates the task's labels."""
        prefix = self.prompt.prefix(self._fit())
        if prefix and self.backbone.shares(len(prefix)):
            with self.prompt.states(prefix):
                pass
        if self.task.labels and self.calibration != "none":
            self._scores_and_priors([], [self.task.labels])

    def continue_from(self, other: Predictor) -> None:
        """Take the states of a beginning that both prompts share from another scorer of the same weights."""
        if isinstance(other, PromptScorer):
            self.prompt.continue_from(other.prompt)

    @property
    def state_bytes(self) -> int:
        return self.prompt.state_bytes

    @torch.no_grad()
    def answer_logprobs(self, queries: Sequence[Example], answers: Sequence[str]) -> list[float]:
        summed = copy(self)
        summed.length = "sum"
        branches = [[self.form.branch(q, a)] for q, a in zip(queries, answers, strict=True)]
        return [float(scores[0]) for scores in summed._scores(queries, segments=branches)]

    @torch.no_grad()
    def scores(self, queries: Sequence[Example]) -> list[np.ndarray]:
        """Return one float array `[options]` a query, in their order: higher is more likely."""
        return self._scores_and_priors(queries, [q.options or () for q in queries])

    def _scores_and_priors(self, queries: Sequence[Example], lists: Sequence[tuple[str, ...]]) -> list[np.ndarray]:
        """Return the queries' scores, after the priors of those lists of options that have none yet are known."""
        new = [o for o in dict.fromkeys(lists) if o not in self._priors]
        support = self.prompt.support
        crossed = [o for o in new if crosses(self.calibration, o, support)]
        blanks = {o: blank_queries(self.form, self.calibration, o) for o in new if o not in crossed}
        before = self.dropped
        found = self._scores([*queries, *chain(*blanks.values())], len(queries))
        if self._priors and self.dropped != before:  # given other demonstrations than these queries
            self._priors = {}
            return self._scores_and_priors(queries, lists)
        rest = iter(found[len(queries) :])
        for options, asked in blanks.items():
            if asked:
                self._priors[options] = self.prior_share * blank_prior(list(islice(rest, len(asked))))
        shown = support[: len(support) - self.dropped] or support
        self._priors |= {options: cross_fitted_prior(shown, self._scores_given) for options in crossed}
        return [f - self._priors.get(q.options or (), 0.0) for q, f in zip(queries, found[: len(queries)], strict=True)]

    def _scores_given(self, support: Sequence[Example], queries: Sequence[Example]) -> list[np.ndarray]:
        """Return the uncalibrated scores of queries given another support set."""
        other = copy(self)
        other.prompt = self.prompt.given(support)
        return other._scores(queries)

    def _scores(self, queries: Sequence[Example], apart: int = 0, segments: Branches | None = None) -> list[np.ndarray]:
        """Return the uncalibrated scores of each query's options, or of its branches `segments`.

        The first `apart` queries stand in rows of their own: these are the same for every calibration, and are run once
        in a comparison (`SharedWork`).
        """
        if segments is None:
            segments = [[self.form.branch(q, option) for option in q.options or ()] for q in queries]
        fitted = self._fit(segments)
        prefix = self.prompt.prefix(fitted)
        sizes = []
        for branches in fitted.branches:
            alone = PromptTree()
            for branch in branches:
                branch.insert(alone, -1)
            sizes.append(len(alone))
        left = sorted(range(len(queries)), key=lambda i: (i >= apart, -sizes[i]))
        result: list[np.ndarray] = [np.empty(0)] * len(queries)
        while left:
            row = _fitting([i for i in left if (i < apart) == (left[0] < apart)], sizes, self.row_tokens)
            values = self._row_logprobs(prefix, [fitted.branches[i] for i in row])
            if values is None and len(row) == 1:
                raise UserError(
                    f"task {self.task.name}: no memory for one query",
                    found=f"a row of {sizes[row[0]]} tokens given a prefix of {len(prefix)}",
                    fix="Use fewer or shorter demonstrations, or a smaller model.",
                )
            if values is None:
                self._halve(sum(sizes[i] for i in row))
                continue
            left = left[len(row) :]
            for i, logprobs in zip(row, values, strict=True):
                scored = zip(logprobs, segments[i], strict=True)
                result[i] = np.array([self._reduced(each, branch) for each, branch in scored])
        return result

    def _row_logprobs(
        self, prefix: Sequence[int], branches: Sequence[Sequence[Branch]]
    ) -> list[list[np.ndarray]] | None:
        """Return the log-probabilities of the scored tokens of each query's branches, from one packed row; None
        where memory runs out."""
        tree = PromptTree()
        shared = self.backbone.shares(len(prefix) + max((len(b.ids) for bs in branches for b in bs), default=0))
        at_once = any(b.scored == 0 for bs in branches for b in bs)  # the token before it is in the row then
        cached = (prefix[:-1] if at_once else prefix) if shared else ()
        tree.insert(-1, prefix[len(cached) :])
        after = len(tree) - 1
        spans = [[branch.insert(tree, after) for branch in options] for options in branches]
        nodes = sorted({node for options in spans for span in options for node in span})
        if not nodes:
            return [[] for _ in branches]

        def run() -> torch.Tensor:
            if not shared:
                return self.backbone.logprobs([tree], [nodes], self.params)
            with self.prompt.states(cached) as past:
                row = pack([tree], start=len(cached))
                return self.backbone.row_logprobs(row, [tree], [nodes], past=past, params=self.params)

        try:
            key = row_key(cached, tree.tokens, tree.parent, nodes) if self._is_shared else None
            values = run() if key is None else self.backbone.shared.get(key, run)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            return None
        at = np.zeros(len(tree))
        at[nodes] = values.double().cpu().numpy()
        return [[at[span] for span in options] for options in spans]

    @property
    def _is_shared(self) -> bool:
        """Whether a row's values are those of the model as it was opened, and so of other methods too."""
        return are_rows_shared() and not (self.params or self.prompt.learned or self.backbone.trainable())

    def _reduced(self, logprobs: np.ndarray, branch: Sequence[Segment]) -> float:
        total = float(logprobs.sum())
        if self.length == "sum":
            return total
        if self.length == "token_mean":
            return total / len(logprobs)
        return total / max(1, sum(len(segment.text.strip()) for segment in branch if segment.scored))

    @torch.no_grad()
    def generate(self, queries: Sequence[Example], max_new_tokens: int | None = None, beams: int = 1) -> list[str]:
        """Return answers up to the first line break, greedy or by beam search, in batches that share the prefix.

        `max_new_tokens` None allows twice the longest demonstrated answer and 8 tokens more. Beam search ends when a
        query has `beams` finished answers; the best log-probability a token wins (transformers' `early_stopping=True`).
        """
        if max_new_tokens is None:
            answers = [len(self.backbone.encode(f" {self.form.written(e)}")) for e in self.prompt.support]
            max_new_tokens = 2 * max(answers, default=12) + 8
        if max_new_tokens < 1 or beams < 1:
            raise UserError("max_new_tokens and beams must be at least 1", found=f"{max_new_tokens}, {beams}")
        fitted = self._fit([[[self.form.question(q)]] for q in queries], reserved=max_new_tokens)
        prefix, questions = self.prompt.prefix(fitted), [branch.ids for (branch,) in fitted.branches]
        longest = max(map(len, questions), default=0) + max_new_tokens
        texts: list[str] = []
        while len(texts) < len(questions):
            batch = max(1, self.row_tokens // (longest * beams))
            part = questions[len(texts) : len(texts) + batch]
            try:
                texts += map(self.form.read, self._generated(prefix, part, max_new_tokens, beams))
                continue
            except RuntimeError as error:
                if not out_of_memory(error) or len(part) == 1:
                    raise
            self._halve(longest * beams * len(part))
        return texts

    def tag(self, queries: Sequence[Example]) -> list[tuple[str, ...]]:
        texts = self.generate(queries)
        return [self.form.read_tags(text, q.tokens or ()) for text, q in zip(texts, queries, strict=True)]

    def _generated(
        self, prefix: Sequence[int], questions: Sequence[Sequence[int]], limit: int, beams: int
    ) -> list[str]:
        if not self.backbone.shares(len(prefix) + max(map(len, questions)) + limit):
            return plain_search(self.backbone, prefix, questions, limit, beams, self.params)
        with self.prompt.states(prefix) as past:
            decoder = TreeDecoder(self.backbone, len(prefix), past, self.params)
            return search(decoder, self.backbone.tokenizer, questions, limit, beams)

    def _halve(self, tokens: int) -> None:
        self.row_tokens = max(1, min(self.row_tokens, tokens) // 2)
        log.warning("out of memory: rows of %d tokens from here on", self.row_tokens)

    def _fit(self, branches: Branches = (), reserved: int = 0) -> Fitted:
        fitted = self.prompt.fit(branches, reserved)
        self.dropped = fitted.dropped
        return fitted


def _fitting(order: Sequence[int], sizes: Sequence[int], budget: int) -> list[int]:
    """Return the first queries that fit into a row together, and one at least."""
    used, count = sizes[order[0]], 1
    while count < len(order) and used + sizes[order[count]] <= budget:
        used += sizes[order[count]]
        count += 1
    return list(order[:count])
