"""Prompts as trees of tokens: segments tokenised, demonstrations fitted into the context, an episode's tree with the
nodes of its supervised answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from metaicl.backbone import Backbone
from metaicl.prompt_tree import PromptTree
from task_suites.errors import UserError
from task_suites.formats import PromptFormat, Segment
from task_suites.task import Example, Task

Overflow = Literal["refuse", "drop"]


@dataclass(frozen=True)
class EpisodeTree:
    """Queries behind one copy of their demonstrations.

    Attributes:
        tree: all tokens.
        shown: the nodes of each supervised demonstration's answer.
        asked: for each query those of its answer, or of each of its options.
        dropped: demonstrations that did not fit.
    """

    tree: PromptTree
    shown: list[list[int]]
    asked: list[list[list[int]]]
    dropped: int

    def scored(self) -> list[int]:
        """All nodes whose log-probability is asked for, in order, each once."""
        return sorted({node for spans in (self.shown, *self.asked) for span in spans for node in span})


def episode_tree(
    backbone: Backbone,
    form: PromptFormat,
    task: Task,
    support: Sequence[Example],
    branches: Sequence[Sequence[Sequence[Segment]]],
    overflow: Overflow = "refuse",
    supervise_shown: bool = False,
) -> EpisodeTree:
    """The tree of an episode whose queries have these branches, one for each answer that is scored."""
    longest = max(len(encode(backbone, branch)) for options in branches for branch in options)
    prefix, dropped = prompt_prefix(backbone, form, task, support, longest, overflow)
    tree = PromptTree()
    after = tree.insert(-1, prefix)[-1] if prefix else -1
    asked = [[insert_branch(backbone, tree, after, b) for b in options] for options in branches]
    kept = support[: len(support) - dropped] if supervise_shown else ()
    return EpisodeTree(tree, answers_in_prefix(backbone, form, task, kept), asked, dropped)


def answers_in_prefix(
    backbone: Backbone, form: PromptFormat, task: Task, support: Sequence[Example]
) -> list[list[int]]:
    """The nodes of each demonstration's answer in a tree that begins with the prompt's prefix."""
    form = form.of(task, backbone.tokenizer.apply_chat_template)
    spans, start = list[list[int]](), len(encode(backbone, form.opening(task)))
    for example in support:
        for segment in form.demonstration(example):
            stop = start + len(backbone.encode(segment.text))
            if segment.scored:
                spans.append(list(range(max(1, start), stop)))  # nothing stands before the very first token
            start = stop
    return spans


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
    form = form.of(task, backbone.tokenizer.apply_chat_template)
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
