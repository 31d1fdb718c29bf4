"""Scores of options and generated text for many queries behind one prompt prefix.

The prefix (instruction and demonstrations) runs once and its states stay with the scorer, so that a second call pays
for its queries only. Queries and options follow as branches in packed rows of a bounded number of tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch

from metaicl.backbone import Backbone, Params
from metaicl.prompt_tree import Packed, PromptTree, additive_mask, pack
from task_suites.errors import UserError
from task_suites.formats import STOP, PromptFormat, Segment
from task_suites.task import Example, Task

Length = Literal["sum", "token_mean"]
Overflow = Literal["refuse", "drop"]


def length_rule(form: PromptFormat, length: Length | None) -> Length:
    """How an option's score is reduced over its tokens: as asked for, else the mean (direct) or the sum (channel)."""
    return length or ("sum" if form.channel else "token_mean")


def encode(backbone: Backbone, segments: Sequence[Segment]) -> list[int]:
    """Token ids of the segments, each tokenised alone."""
    return [token for segment in segments for token in backbone.encode(segment.text)]


def insert_branch(backbone: Backbone, tree: PromptTree, after: int, branch: Sequence[Segment]) -> list[int]:
    """Add one branch below node `after`; the nodes of its scored segment are returned."""
    scored: list[int] = []
    for segment in branch:
        nodes = tree.insert(after, backbone.encode(segment.text))
        after = nodes[-1] if nodes else after
        scored = nodes if segment.scored else scored
    return scored


def prompt_prefix(
    backbone: Backbone,
    form: PromptFormat,
    task: Task,
    support: Sequence[Example],
    longest_branch: int,
    overflow: Overflow = "refuse",
) -> tuple[list[int], int]:
    """(ids of instruction and demonstrations, number of demonstrations dropped).

    Nothing is ever cut: where the prompt and its longest branch exceed the model's context, whole demonstrations are
    dropped from the end (which leaves the draw of a smaller k) if `overflow` says so.

    Raises:
        UserError: the prompt does not fit and `overflow` is "refuse", or a query alone does not fit.
    """
    opening = encode(backbone, form.opening(task))
    demos = [encode(backbone, form.demonstration(e)) for e in support]
    room = backbone.context - longest_branch - len(opening)
    length = sum(map(len, demos))
    if room < 0 or (length > room and overflow == "refuse"):
        raise UserError(
            f"task {task.name}: the prompt does not fit the model's context",
            found=f"{len(opening) + length} tokens of instruction and {len(demos)} demonstrations, "
            f"{longest_branch} of the longest query and answer",
            expected=f"at most {backbone.context} tokens in all",
            fix="Lower k, keep shorter examples (max_words), or set overflow to drop (whole demonstrations; counted).",
        )
    kept = list(demos)
    while sum(map(len, kept)) > room:
        kept.pop()
    return opening + [token for demo in kept for token in demo], len(demos) - len(kept)


class PromptScorer:
    """Answers queries of one task behind one support set.

    Attributes:
        dropped: demonstrations that the overflow policy left out so far.
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
        row_tokens: int = 1024,
    ):
        """`length` None takes the format's default (`length_rule`)."""
        self.backbone, self.form, self.task, self.support = backbone, form, task, tuple(support)
        self.params, self.overflow, self.row_tokens = params, overflow, row_tokens
        self.length = length_rule(form, length)
        self.dropped = 0
        self._prefixes: dict[tuple[int, ...], Any] = {}

    @torch.no_grad()
    def scores(self, queries: Sequence[Example]) -> list[np.ndarray]:
        """One float array `[options]` a query: higher is more likely."""
        branches = [[self.form.branch(q, option) for option in q.options or ()] for q in queries]
        prefix = self._prefix(max((self._size(b) for options in branches for b in options), default=0))
        order = sorted(range(len(queries)), key=lambda i: -sum(map(self._size, branches[i])))
        result: list[np.ndarray] = [np.empty(0)] * len(queries)
        for chunk in self._chunks(order, branches):
            tree = PromptTree()
            if not self.backbone.shares_prefixes:
                tree.insert(-1, prefix)
            after = len(tree) - 1
            spans = [insert_branch(self.backbone, tree, after, b) for i in chunk for b in branches[i]]
            nodes = sorted({node for span in spans for node in span})
            values = dict(zip(nodes, self._logprobs(prefix, tree, nodes), strict=True))
            reduce = sum if self.length == "sum" else _mean
            totals = iter([reduce([values[node] for node in span]) for span in spans])
            for i in chunk:
                result[i] = np.array([next(totals) for _ in branches[i]])
        return result

    @torch.no_grad()
    def generate(self, queries: Sequence[Example], max_new_tokens: int | None = None) -> list[str]:
        """Greedy answers up to the first line break, in batches that share the prefix.

        `max_new_tokens` None allows twice the longest demonstrated answer and 8 tokens more.
        """
        if max_new_tokens is None:
            answers = [len(self.backbone.encode(f" {self.form.answer_text(e)}")) for e in self.support]
            max_new_tokens = 2 * max(answers, default=12) + 8
        questions = [self.backbone.encode(self.form.question(q).text) for q in queries]
        prefix = self._prefix(max(map(len, questions), default=0) + max_new_tokens)
        batch = max(1, self.row_tokens // (max(map(len, questions), default=0) + max_new_tokens))
        texts: list[str] = []
        for start in range(0, len(questions), batch):
            part = questions[start : start + batch]
            texts += self._generate(prefix, part, max_new_tokens)
        return texts

    def _size(self, branch: Sequence[Segment]) -> int:
        return sum(len(self.backbone.encode(segment.text)) for segment in branch)

    def _prefix(self, longest_branch: int) -> list[int]:
        ids, self.dropped = prompt_prefix(
            self.backbone, self.form, self.task, self.support, longest_branch, self.overflow
        )
        return ids

    def _chunks(self, order: Sequence[int], branches: Sequence[Sequence[Sequence[Segment]]]) -> Iterator[list[int]]:
        """Queries in groups whose branches have at most `row_tokens` tokens (a larger query goes alone)."""
        chunk: list[int] = []
        used = 0
        for i in order:
            size = sum(map(self._size, branches[i]))
            if chunk and used + size > self.row_tokens:
                yield chunk
                chunk, used = [], 0
            chunk.append(i)
            used += size
        if chunk:
            yield chunk

    def _states(self, prefix: Sequence[int]) -> Any:
        key = tuple(prefix)
        if key not in self._prefixes:
            self._prefixes = {key: self.backbone.prefix(prefix, self.params)}
        return self._prefixes[key]

    def _logprobs(self, prefix: Sequence[int], tree: PromptTree, nodes: Sequence[int]) -> list[float]:
        if not self.backbone.shares_prefixes:
            return self.backbone.logprobs([tree], [nodes], self.params).tolist()
        past = self._states(prefix)
        row = pack([tree], start=len(prefix))
        values = self.backbone.row_logprobs(row, [tree], [nodes], past=past, params=self.params).tolist()
        past.crop(-len(row.ids))  # the argument is minus the number of tokens to take back
        return values

    def _generate(self, prefix: Sequence[int], questions: Sequence[Sequence[int]], limit: int) -> list[str]:
        """Greedy continuations of several questions, as branches of one growing row over the prefix's states."""
        step = _TreeDecoder if self.backbone.shares_prefixes else _PlainDecoder
        decoder = step(self.backbone, prefix, questions, self._states, self.params)
        texts = [""] * len(questions)
        answers: list[list[int]] = [[] for _ in questions]
        open_branches = list(range(len(questions)))
        logits = decoder.start()
        for _ in range(limit):
            tokens = logits.argmax(-1).tolist()
            still: list[int] = []
            for branch, token in zip(open_branches, tokens, strict=True):
                answers[branch].append(token)
                text = self.backbone.tokenizer.decode(answers[branch], skip_special_tokens=True)
                texts[branch] = text.split(STOP)[0].strip()
                if STOP not in text and token != self.backbone.tokenizer.eos_token_id:
                    still.append(branch)
            open_branches = still
            if not open_branches or len(answers[open_branches[0]]) == limit:
                break
            logits = decoder.advance(open_branches, [answers[b][-1] for b in open_branches])
        decoder.close()
        return texts


class _TreeDecoder:
    """Next-token logits of branches that share a prefix cache: one row a step, each token seeing its branch only."""

    def __init__(
        self,
        backbone: Backbone,
        prefix: Sequence[int],
        questions: Sequence[Sequence[int]],
        states: Callable[[Sequence[int]], Any],
        params: Params | None,
    ):
        self.backbone, self.questions, self.params = backbone, questions, params
        self.past = states(prefix)
        self.depth = [len(prefix)] * len(questions)
        self.owner = torch.full((len(prefix),), -1)  # branch of each cached token; -1: the prefix, which all see
        self.added = 0

    def start(self) -> torch.Tensor:
        branches = [b for b, question in enumerate(self.questions) for _ in question]
        return self._step(branches, [t for question in self.questions for t in question])

    def advance(self, branches: Sequence[int], tokens: Sequence[int]) -> torch.Tensor:
        return self._step(branches, tokens)

    def close(self) -> None:
        self.past.crop(-self.added)

    def _step(self, branches: Sequence[int], tokens: Sequence[int]) -> torch.Tensor:
        positions = []
        for branch in branches:
            positions.append(self.depth[branch])
            self.depth[branch] += 1
        mine = torch.tensor(branches)
        before = len(self.owner)
        self.owner = torch.cat([self.owner, mine])
        self.added += len(tokens)
        sees = (self.owner == -1) | (self.owner == mine[:, None])
        sees &= torch.arange(len(self.owner)) <= torch.arange(before, len(self.owner))[:, None]
        last = {branch: place for place, branch in enumerate(branches)}
        row = Packed(torch.tensor(tokens), torch.tensor(positions), torch.empty(0), ())
        mask = additive_mask(sees, self.backbone.mask_dtype)
        return self.backbone.next_logits(row, mask, self.past, list(last.values()), self.params)


class _PlainDecoder:
    """The same without shared states: whole sequences, for models that take no tree mask."""

    def __init__(
        self,
        backbone: Backbone,
        prefix: Sequence[int],
        questions: Sequence[Sequence[int]],
        states: Callable[[Sequence[int]], Any],
        params: Params | None,
    ):
        self.backbone, self.params = backbone, params
        self.ids = [[*prefix, *question] for question in questions]

    def start(self) -> torch.Tensor:
        return torch.stack([self.backbone.plain_logits(ids, self.params)[-1] for ids in self.ids])

    def advance(self, branches: Sequence[int], tokens: Sequence[int]) -> torch.Tensor:
        for branch, token in zip(branches, tokens, strict=True):
            self.ids[branch].append(token)
        return torch.stack([self.backbone.plain_logits(self.ids[b], self.params)[-1] for b in branches])

    def close(self) -> None:
        """Nothing is kept."""


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
