"""Prompts as trees of tokens: the instruction and demonstrations fitted into the context and encoded once, queries and
answers that continue them, an episode's tree with the nodes of its supervised answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

from metaicl.lm.backbone import Backbone
from metaicl.lm.context_length import FEWER, SHORTER, too_long
from metaicl.lm.prompt_tree import PromptTree
from metaicl.lm.text_encoder import Beginning, Encoded, no_tokens, same_tokens
from task_suites.core.errors import counted
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.formats.segments import Segment
from task_suites.task import Task

Overflow = Literal["refuse", "drop"]
Answers = Sequence[Sequence[Segment]]  # the segments of each answer to one query


@dataclass(frozen=True)
class Branch:
    """What one query and one candidate answer add to a prompt.

    Attributes:
        ids: the tokens after the prompt's stable ones.
        scored: the index among them of the first token of the scored text.
    """

    ids: tuple[int, ...]
    scored: int

    def insert(self, tree: PromptTree, after: int) -> list[int]:
        """Add the branch to a tree below node `after` (-1: at the root); the nodes of its scored text are returned."""
        return tree.insert(after, self.ids)[self.scored :]


class Prompt:
    """An instruction and demonstrations as text, encoded once (metaicl/lm/text_encoder.py).

    Args:
        form: the prompt format; it is bound to the task here.
        support: the demonstrations, all of which are in the prompt.

    Attributes:
        text: the text.
        stable: the tokens that are the same whatever query follows.
    """

    def __init__(self, backbone: Backbone, form: PromptFormat, task: Task, support: Sequence[Example]):
        form = form.of(task, backbone.tokenizer.apply_chat_template)
        self.text = joined(form.opening(task))
        self._answers: list[tuple[int, int]] = []  # the first and the last character of each demonstration's answer
        self._demonstrations: list[tuple[int, int]] = []  # and of each demonstration
        for example in support:
            start = len(self.text)
            for segment in form.demonstration(example):
                if segment.scored:
                    self._answers.append((len(self.text), len(self.text) + len(segment.text)))
                self.text += segment.text
            self._demonstrations.append((start, len(self.text)))
        self._beginning = backbone.texts.beginning(self.text)
        self._questions: dict[str, Beginning] = {}

    @property
    def stable(self) -> tuple[int, ...]:
        return self._beginning.stable.ids

    def rest(self, more: str = "") -> tuple[int, ...]:
        """Return the tokens after the stable ones, of the prompt continued by `more`."""
        return self._beginning.rest(more).ids

    def forget_questions(self) -> None:
        """Drop the encoded questions, each of which serves several answers, so that a kept prompt stays small."""
        self._questions.clear()

    def branch(self, segments: Sequence[Segment]) -> Branch:
        """Return the prompt continued by a query and an answer, of whose segments the scored one is the last."""
        question = joined(takewhile(lambda segment: not segment.scored, segments))
        if question not in self._questions:
            self._questions[question] = self._beginning + question
        before = self._questions[question]
        whole = before.whole(joined(segments)[len(question) :])
        context = self.text + question
        # trailing blanks belong to the answer, unless nothing else stands before it
        scored = whole.reaching_beyond(len(context.rstrip() or context))
        return Branch(whole.ids[len(self.stable) :], scored - len(self.stable))

    def answer_spans(self, more: str = "") -> list[range]:
        """Where the answer of each demonstration lies among all tokens of the prompt continued by `more`."""
        whole: Encoded = self._beginning.whole(more)
        return [
            # nothing stands before the very first token
            range(max(1, whole.reaching_beyond(len(self.text[:start].rstrip()))), whole.reaching_beyond(stop))
            for start, stop in self._answers
        ]

    def demonstration_spans(self) -> list[range]:
        """Where each demonstration lies among the stable tokens; a token that two share is in the spans of both."""
        stable = self._beginning.stable
        return [
            range(stable.reaching_beyond(start), min(len(stable), stable.reaching_beyond(stop - 1) + 1))
            for start, stop in self._demonstrations
        ]


def joined(segments: Sequence[Segment] | takewhile[Segment]) -> str:
    """Return the text of segments."""
    return "".join(segment.text for segment in segments)


@dataclass(frozen=True)
class EpisodeTree:
    """Queries given one copy of their demonstrations.

    Attributes:
        tree: all tokens.
        demonstration_spans: for each supervised demonstration, the nodes of its answer.
        answer_spans: for each query, the nodes of its answer, or of each of its options.
        dropped: demonstrations that did not fit.
    """

    tree: PromptTree
    demonstration_spans: list[list[int]]
    answer_spans: list[list[list[int]]]
    dropped: int

    def scored(self) -> list[int]:
        """Return all nodes whose log-probability is requested, in order, each once."""
        every = (self.demonstration_spans, *self.answer_spans)
        return sorted({node for spans in every for span in spans for node in span})


@dataclass(frozen=True)
class Fitted:
    """A prompt that fits into the context with each of its branches.

    Attributes:
        prompt: the instruction and those demonstrations that fit.
        branches: for each query, its branches.
        dropped: demonstrations that did not fit.
    """

    prompt: Prompt
    branches: list[list[Branch]]
    dropped: int


def prompt_length(
    backbone: Backbone,
    form: PromptFormat,
    task: Task,
    support: Sequence[Example],
    branches: Sequence[Answers] = (),
    reserved: int = 0,
) -> int:
    """Tokens of the prompt with the longest of some queries' branches and a `reserved` answer, as `fit` counts them.

    Raises:
        UserError: see `_encoded`.
    """
    prompt = Prompt(backbone, form, task, support)
    return _length(prompt, _encoded(prompt, branches)) + reserved


def fit(
    backbone: Backbone,
    form: PromptFormat,
    task: Task,
    support: Sequence[Example],
    branches: Sequence[Answers] = (),
    overflow: Overflow = "refuse",
    reserved: int = 0,
    whole: Prompt | None = None,
) -> Fitted:
    """Return the prompt of a support set, encoded with the queries' branches.

    Nothing is ever cut: where the prompt and its longest branch exceed the model's context, whole demonstrations are
    dropped from the end (which leaves the draw of a smaller k) if `overflow` says so.

    Args:
        branches: for each query, the segments of each answer; or of the question only, if an answer is generated.
        reserved: tokens that are kept free after each branch for the answer that is generated.
        whole: the prompt of the whole support set, where it was made before.

    Raises:
        TooLong: the prompt does not fit and `overflow` is "refuse", or a query by itself does not fit.
        UserError: see `_encoded`.
    """
    for kept in range(len(support), -1, -1):
        known = whole if kept == len(support) else None
        prompt = known or Prompt(backbone, form, task, support[:kept])
        encoded = _encoded(prompt, branches)
        length = _length(prompt, encoded) + reserved
        if length <= backbone.context:
            return Fitted(prompt, encoded, len(support) - kept)
        if overflow == "refuse":
            break
    if kept:
        fit(backbone, form, task, (), branches, reserved=reserved)  # raises where fewer demonstrations would not help
    what = f"a prompt with {counted(kept, 'demonstration')}" if kept else "the longest query with its answer"
    raise too_long(length, backbone.context, f"task {task.name}: {what}", FEWER if kept else SHORTER)


def _encoded(prompt: Prompt, branches: Sequence[Answers]) -> list[list[Branch]]:
    """Return the branches of each query.

    Raises:
        UserError: the tokenizer leaves nothing of a text that is scored, or makes the same tokens of two options: no
            score could be given, or none that differs.
    """
    encoded = [[prompt.branch(segments) for segments in answers] for answers in branches]
    for answers, made in zip(branches, encoded, strict=True):
        first: dict[tuple[int, ...], Sequence[Segment]] = {}
        for segments, branch in zip(answers, made, strict=True):
            other = first.setdefault(branch.ids, segments)
            if other is segments and branch.scored < len(branch.ids):
                continue
            if other is not segments:
                raise same_tokens(_options(other, segments))
            if scored := [segment.text.strip() for segment in segments if segment.scored]:
                raise no_tokens("a text that is scored", scored[0])
    return encoded


def _options(*answers: Sequence[Segment]) -> list[str]:
    return [segment.text.strip() for segments in answers for segment in segments if segment.role == "option"]


def _length(prompt: Prompt, encoded: Sequence[Sequence[Branch]]) -> int:
    """Return the tokens of the prompt with the longest of its branches."""
    longest = max((len(branch.ids) for made in encoded for branch in made), default=len(prompt.rest()))
    return len(prompt.stable) + longest


def episode_tree(
    backbone: Backbone,
    form: PromptFormat,
    task: Task,
    support: Sequence[Example],
    branches: Sequence[Answers],
    overflow: Overflow = "refuse",
    supervise_shown: bool = False,
) -> EpisodeTree:
    """Return the tree of an episode whose queries have these branches, one for each answer that is scored.

    The demonstrations' own answers are supervised (if `supervise_shown`) where they stand before the first branch.
    """
    fitted = fit(backbone, form, task, support, branches, overflow)
    prompt, tree = fitted.prompt, PromptTree()
    stable = tree.insert(-1, prompt.stable)
    after = stable[-1] if stable else -1
    asked = [[branch.insert(tree, after) for branch in options] for options in fitted.branches]
    shown: list[list[int]] = []
    if supervise_shown:
        first = joined(branches[0][0])
        path = [*stable, *tree.insert(after, prompt.rest(first))]
        shown = [[path[i] for i in span] for span in prompt.answer_spans(first)]
    return EpisodeTree(tree, shown, asked, fitted.dropped)
