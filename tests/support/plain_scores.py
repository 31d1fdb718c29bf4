"""Scores the slow way: one plain sequence for each option."""

from __future__ import annotations

import numpy as np
import torch

from task_suites.episodes import EpisodeSampler
from task_suites.formats.prompt_format import PromptFormat


def episode(task, k=4, queries=6):
    return EpisodeSampler(0, k, queries).draw(task, "test", 0)


def plain_logprobs(backbone, form, task, support, query, option) -> list[float]:
    """Log-probabilities of the scored segment's tokens from one plain sequence."""
    shown = [*form.opening(task), *(s for e in support for s in form.demonstration(e))]
    return last_logprobs(backbone, [*shown, *form.branch(query, option)])


def last_logprobs(backbone, segments) -> list[float]:
    """Log-probabilities of the last segment's tokens from one plain sequence."""
    *before, answer = (segment.text for segment in segments)
    ids, first = encoded_pair(backbone, "".join(before), answer)
    with torch.no_grad():
        lp = torch.log_softmax(backbone.plain_logits(ids[:-1]), -1)
    return [float(lp[i - 1, ids[i]]) for i in range(first, len(ids))]


def encoded_pair(backbone, context: str, answer: str) -> tuple[list[int], int]:
    """Return (tokens of the whole text, how many of them are the context's), as lm-evaluation-harness counts them:
    trailing blanks of the context belong to the answer."""
    before = backbone.tokenizer(context.rstrip(), add_special_tokens=False).input_ids
    return backbone.tokenizer(context + answer, add_special_tokens=False).input_ids, len(before)


def plain_score(backbone, form, task, support, query, option) -> float:
    """Log-probability of the scored segment from one plain sequence: token mean (direct) or sum (channel)."""
    values = plain_logprobs(backbone, form, task, support, query, option)
    return sum(values) if form.channel else sum(values) / len(values)


def plain_scores(backbone, e, query) -> np.ndarray:
    return np.array([plain_score(backbone, PromptFormat(), e.task, e.support, query, o) for o in query.options])
