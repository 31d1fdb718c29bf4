"""The contract of every way of learning from a support set.

The outer loop (metaicl/training/trainer.py) and the harness (eval/harness.py) know this file and no algorithm. A method
of one's own subclasses `Method`, in any module, and is named in a config as `package.module:Name`.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.special import log_softmax, logsumexp
from torch import Tensor, nn

from metaicl.lm.backbone import Backbone
from task_suites.core.errors import UserError
from task_suites.core.ranges import with_checked_arguments
from task_suites.episodes import Episode
from task_suites.formats.prompt_format import PromptFormat, parse_tags
from task_suites.task import Example, Form, Task

ReadUnless = Mapping[str, tuple[str, Any]]


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

    def scores(self, queries: Sequence[Example]) -> list[np.ndarray]:
        """One array `[options]` a query; higher is better. All queries have options."""
        raise UserError(f"{type(self).__name__} does not score options")

    def generate(self, queries: Sequence[Example]) -> list[str]:
        """One answer text a query."""
        raise UserError(f"{type(self).__name__} does not generate text")

    def tag_scores(self, queries: Sequence[Example]) -> tuple[list[str], np.ndarray] | None:
        """(tags, `[words, tags]` scores of all queries' words in turn); None for tags that are generated as text."""
        return None

    def tag(self, queries: Sequence[Example]) -> list[tuple[str, ...]]:
        """BIO tags of each query's tokens: the best by `tag_scores` (O where there is none), or read from generated
        text."""
        if scored := self.tag_scores(queries):
            return best_tags(*scored, queries)
        texts = self.generate(queries)
        return [parse_tags(text, q.tokens or ()) for text, q in zip(texts, queries, strict=True)]

    def answers(self, queries: Sequence[Example]) -> list[Answer]:
        """The best option, the generated text or the tags, by the form of the queries (all of one form).

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
        return commonest([member.generate(queries) for member in self.members])

    def tag_scores(self, queries: Sequence[Example]) -> tuple[list[str], np.ndarray] | None:
        """Log of the mean probability of each tag; None where tags are text."""
        found = [scored for member in self.members if (scored := member.tag_scores(queries))]
        if not found:
            return None
        names = found[0][0]  # the demonstrations', so everyone's
        return names, np.stack(list(map(log_mean_share, zip(*(scores for _, scores in found), strict=True))))

    def tag(self, queries: Sequence[Example]) -> list[tuple[str, ...]]:
        """By the mean probabilities; where tags are text, what most members give."""
        scored = self.tag_scores(queries)
        return best_tags(*scored, queries) if scored else commonest([member.tag(queries) for member in self.members])


def best_tags(names: Sequence[str], scores: np.ndarray, queries: Sequence[Example]) -> list[tuple[str, ...]]:
    """Each word's best tag by its row of `scores`, query by query; O where there is no tag to choose."""
    words = iter([names[i] for i in scores.argmax(1)] if names else ["O"] * len(scores))
    return [tuple(next(words) for _ in q.tokens or ()) for q in queries]


def commonest(answers: Sequence[Sequence[Any]]) -> list[Any]:
    """For each query the answer that most members give, of equals that of the first of them."""
    return [Counter(each).most_common(1)[0][0] for each in zip(*answers, strict=True)]


class Method(nn.Module, ABC):
    """A way of learning from a support set.

    Attributes:
        serves: the forms of example that it can answer.
        trainable: whether `forward` gives a loss for the outer loop.
        order_free: whether answers are the same for any order of the support set.
        dropped: demonstrations left out of training prompts so far (only where the user allowed it).
        reads_prompts: whether a prompt format, an instruction and label words make a difference to it.
        read_unless: option -> (another option, the value of that at which the first one is not read).
    """

    reads_prompts: ClassVar[bool] = True
    read_unless: ClassVar[ReadUnless] = MappingProxyType({})
    serves: frozenset[Form] = frozenset({"options"})
    trainable: bool = False
    order_free: bool = False
    dropped: int = 0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__ = with_checked_arguments(cls.__init__)  # type: ignore[method-assign]

    def __init__(self, backbone: Backbone, form: PromptFormat):
        super().__init__()
        self.backbone, self.form = backbone, form

    def forward(self, episodes: Sequence[Episode]) -> tuple[Tensor, Tensor]:
        """(loss sum, its weight) over the episodes; the outer loop divides after adding up over processes.

        Raises:
            UserError: the method does not learn across tasks.
        """
        raise UserError(f"{type(self).__name__} is not meta-trained", fix="Evaluate it as it is.")

    def form_of(self, task: Task) -> PromptFormat:
        """The prompt format bound to a task."""
        return self.form.of(task, self.backbone.tokenizer.apply_chat_template)

    def zero(self) -> Tensor:
        """0, in the graph of every learned weight: with several processes all weights must have a gradient."""
        return torch.stack([0.0 * p.sum() for p in self.learned().values()]).sum()

    def cold(self) -> AbstractContextManager[None]:
        """A context in which nothing that is kept between tasks is used: what a new task costs is measured in it."""
        return nullcontext()

    def tokens(self, episode: Episode) -> int:
        """The tokens that training on an episode runs, at least about: what it takes of a packed row."""
        form = self.form_of(episode.task)
        return sum(
            len(self.backbone.encode("".join(segment.text for segment in form.demonstration(e))))
            for e in (*episode.support, *episode.queries)
        )

    def longest(self, task: Task, support: Sequence[Example], queries: Sequence[Example]) -> int:
        """Tokens of the longest sequence that the model is given for answered queries and a support set (either may be
        empty); 0 where a method does not say. It is compared with the model's context before anything runs."""
        return 0

    @abstractmethod
    def adapt(self, task: Task, support: Sequence[Example]) -> Predictor:
        """Learn from the support set; meta-parameters stay as they are."""

    def learned(self) -> dict[str, nn.Parameter]:
        """The meta-learned parameters by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def own_state(self) -> dict[str, Tensor]:
        """The meta-learned parameters outside of the backbone, for the checkpoint."""
        return {n: p.detach() for n, p in self.learned().items() if not n.startswith("backbone.")}

    def refusal(self, task: Task) -> str | None:
        """Why the method cannot answer this task, or None where it can."""
        if task.form in self.serves:
            return None
        return f"examples of the form {task.form!r}; {type(self).__name__} serves {sorted(self.serves)}"

    def check_serves(self, task: Task) -> None:
        """Raise a `UserError` when the method cannot answer this task."""
        if reason := self.refusal(task):
            raise UserError(f"{type(self).__name__} does not serve task {task.name}", found=reason)


def seeded(*names: object) -> torch.Generator:
    """A generator (CPU) for one purpose; what it gives is a function of the names alone."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def support_keys(examples: Sequence[Example]) -> str:
    """A name for a support set that two equal sets share, to seed what is random in an adaptation."""
    return "|".join(f"{e.content}={e.output or ' '.join(e.tags or ())}" for e in examples)


def unordered_keys(examples: Sequence[Example]) -> str:
    """`support_keys` of the same examples in any order."""
    return support_keys(sorted(examples, key=lambda e: support_keys([e])))
