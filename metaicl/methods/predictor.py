"""What a method gives for one task: a `Predictor`, which answers queries; and the average of several of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import log_softmax, logsumexp

from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.formats.tagging import parse_tags


@dataclass(frozen=True)
class Answer:
    """A predictor's answer to one query: the text (or the tags), and the options' scores where there are options."""

    text: str | tuple[str, ...]
    scores: np.ndarray | None = None


class Predictor:
    """What `Method.adapt` gives: answers to queries of one task. Queries carry no answers (`Example.hidden()`).

    Attributes:
        dropped: whole demonstrations left out because the prompt did not fit (only where the user allowed it).
    """

    dropped: int = 0

    def prepare(self) -> None:
        """Do now what serves all queries to come, where it was put off (a prompt's states), so that it can be timed."""

    def continue_from(self, other: Predictor) -> None:
        """Take what can be used again from a predictor of the same method and a support set that begins alike."""

    @property
    def state_bytes(self) -> int:
        """The memory of what `prepare` keeps, in bytes, where it is more than a little."""
        return 0

    def answer_logprobs(self, queries: Sequence[Example], answers: Sequence[str]) -> list[float]:
        """Return the log-probability of one answer text a query, summed over its tokens."""
        raise UserError("the method gives no probabilities of texts", fix="Use an in-context method, such as icl.")

    def scores(self, queries: Sequence[Example]) -> list[np.ndarray]:
        """Return one array `[options]` a query; higher is better. All queries have options."""
        raise UserError("the method does not score options", fix="Use another method, such as icl.")

    def generate(self, queries: Sequence[Example]) -> list[str]:
        """Return one answer text a query."""
        raise UserError("the method does not generate text", fix="Use another method, such as icl.")

    def tag_scores(self, queries: Sequence[Example]) -> tuple[list[str], np.ndarray] | None:
        """Return (tags, `[words, tags]` scores of all queries' words in turn); None for tags that are generated as
        text."""
        return None

    def tag(self, queries: Sequence[Example]) -> list[tuple[str, ...]]:
        """BIO tags of each query's tokens: the best by `tag_scores` (O where there is none), or read from generated
        text."""
        if scored := self.tag_scores(queries):
            return best_tags(*scored, queries)
        texts = self.generate(queries)
        return [parse_tags(text, q.tokens or ()) for text, q in zip(texts, queries, strict=True)]

    def answers(self, queries: Sequence[Example]) -> list[Answer]:
        """Return the best option, the generated text or the tags, by the form of the queries (all of one form).

        Ties go to the first option.
        """
        if not queries:
            return []
        form = queries[0].form
        if form == "tags":
            return [Answer(tags) for tags in self.tag(queries)]
        if form == "text":
            return [Answer(text) for text in self.generate(queries)]
        scored = zip(queries, self.scores(queries), strict=True)
        return [Answer((q.options or ())[int(s.argmax())], s) for q, s in scored]


def log_mean_share(scores: Sequence[np.ndarray]) -> np.ndarray:
    """Log of each option's mean probability `[options]`; each array of scores gives them by its softmax."""
    return logsumexp(log_softmax(np.stack(scores), axis=1), axis=0) - np.log(len(scores))


class AveragePredictor(Predictor):
    """Several members of one predictive distribution (Bayesian methods): the mean of their probabilities of options and
    of words' tags. Sequences have no mean: the text that most members give, and of equals that of the first of them.
    """

    def __init__(self, members: Sequence[Predictor]):
        self.members = tuple(members)
        self.dropped = members[0].dropped

    def prepare(self) -> None:
        for member in self.members:
            member.prepare()

    def scores(self, queries: Sequence[Example]) -> list[np.ndarray]:
        """Log of the mean probability of each option, the probabilities of a member being its softmax over options."""
        return list(map(log_mean_share, zip(*(member.scores(queries) for member in self.members), strict=True)))

    def generate(self, queries: Sequence[Example]) -> list[str]:
        return majority_vote([member.generate(queries) for member in self.members])

    def tag_scores(self, queries: Sequence[Example]) -> tuple[list[str], np.ndarray] | None:
        """Log of the mean probability of each tag; None where tags are text."""
        found = [scored for member in self.members if (scored := member.tag_scores(queries))]
        if not found:
            return None
        names = found[0][0]  # the demonstrations', so everyone's
        return names, np.stack(list(map(log_mean_share, zip(*(scores for _, scores in found), strict=True))))

    def tag(self, queries: Sequence[Example]) -> list[tuple[str, ...]]:
        """Return the tags by the mean probabilities; where tags are text, what most members give."""
        scored = self.tag_scores(queries)
        return (
            best_tags(*scored, queries) if scored else majority_vote([member.tag(queries) for member in self.members])
        )


def best_tags(names: Sequence[str], scores: np.ndarray, queries: Sequence[Example]) -> list[tuple[str, ...]]:
    """Return each word's best tag by its row of `scores`, query by query; O where no tag can be chosen."""
    words = iter([names[i] for i in scores.argmax(1)] if names else ["O"] * len(scores))
    return [tuple(next(words) for _ in q.tokens or ()) for q in queries]


def majority_vote(answers: Sequence[Sequence[Any]]) -> list[Any]:
    """Return for each query the answer that most members give; of equally frequent ones, the first member's."""
    return [Counter(each).most_common(1)[0][0] for each in zip(*answers, strict=True)]
