"""What is minimised on prompts: the loss of a query's answer, from the log-probabilities of its branches' tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from metaicl.methods.scoring import Length
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.formats.segments import Segment

Objective = Literal["tokens", "answer_mean", "options", "both"]


@dataclass(frozen=True)
class AnswerLoss:
    """The loss of answers by one objective.

    Attributes:
        objective: "tokens" is the likelihood of the right answer's tokens, each token with the same weight;
            "answer_mean" is its mean over the answer's tokens, each answer with the same weight. "options" is the
            cross-entropy of the right option among all options by their scores, each answer with the same weight.
            "both" adds "answer_mean" to it. Without options, both are "answer_mean".
        length: how an option's score is reduced over its tokens.
    """

    objective: Objective
    length: Length

    def branches(self, form: PromptFormat, queries: Sequence[Example]) -> list[list[list[Segment]]]:
        """For each answered query, the branches that its loss needs: its right answer, or all of its options."""
        among = self.objective in ("options", "both")
        answers = [form.targets(q) if among or q.options is None else [q.output or ""] for q in queries]
        return [[form.branch(q, a) for a in given] for q, given in zip(queries, answers, strict=True)]

    def of_query(self, scored: Sequence[Tensor], query: Example) -> tuple[Tensor, int]:
        """Return (loss, weight) of one query.

        Args:
            scored: of each branch, the log-probabilities of its tokens.
        """
        if len(scored) == 1:
            return self.of_answer(scored[0])
        assert query.options is not None and query.output is not None
        right = query.options.index(query.output)
        scores = torch.stack([s.sum() if self.length == "sum" else s.mean() for s in scored])
        loss = -torch.log_softmax(scores, 0)[right]
        return (loss - scored[right].mean() if self.objective == "both" else loss), 1

    def of_answer(self, answer: Tensor) -> tuple[Tensor, int]:
        """Return (loss, weight) of a right answer by itself, from the log-probabilities of its tokens."""
        return (-answer.sum(), len(answer)) if self.objective == "tokens" else (-answer.mean(), 1)
