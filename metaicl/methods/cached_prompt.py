"""A task's prompt given a support set, and the states of what all queries share, which stay for the next call.

So a second call pays for its queries only, and another prefix for what it has of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any, ClassVar

from metaicl.lm.backbone import Backbone, Params
from metaicl.lm.memory import cache_bytes
from metaicl.lm.prompts import Fitted, Overflow, Prompt, fit
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.formats.segments import Segment
from task_suites.task import Task

Branches = Sequence[Sequence[Sequence[Segment]]]  # of each query, the segments of each answer


class CachedPrompt:
    """See the module's docstring.

    Args:
        params: weights that replace those of the backbone.
        overflow: what happens to a prompt beyond the context (`fit`).

    Attributes:
        learned: whether the states are learned, not those that the model reads.
        form: the format, bound to the task.
        dropped: demonstrations that the overflow policy left out at the last `fit`.
    """

    learned: ClassVar[bool] = False

    def __init__(
        self,
        backbone: Backbone,
        form: PromptFormat,
        task: Task,
        support: Sequence[Example],
        params: Params | None = None,
        overflow: Overflow = "refuse",
    ):
        self.backbone, self.task, self.support = backbone, task, tuple(support)
        self.form = form.of(task, backbone.tokenizer.apply_chat_template)
        self.params, self.overflow = params, overflow
        self.dropped = 0
        self._kept: tuple[Sequence[int], Any] = ((), None)  # a prefix and its states
        self._whole: Prompt | None = None  # the prompt of the whole support set

    def given(self, support: Sequence[Example]) -> CachedPrompt:
        """Return the prompt of another support set, which begins with the states that are there."""
        other = copy(self)
        other.support, other._whole = tuple(support), None
        return other

    def continue_from(self, other: CachedPrompt) -> None:
        """Take the states of a beginning that both prompts share, where they are those of the same weights."""
        if other.backbone is self.backbone and other.params is self.params:
            self._kept = other._kept

    @property
    def state_bytes(self) -> int:
        """The memory of the states, in bytes."""
        return cache_bytes(self._kept[1])

    def fit(self, branches: Branches = (), reserved: int = 0) -> Fitted:
        """Return the prompt with these branches; the number of demonstrations that were left out is kept."""
        whole = self._whole
        fitted = fit(self.backbone, self.form, self.task, self.support, branches, self.overflow, reserved, whole)
        self.dropped = fitted.dropped
        if not self.dropped:
            self._whole = fitted.prompt
            self._whole.forget_questions()
        return fitted

    def prefix(self, fitted: Fitted) -> Sequence[int]:
        """Return the tokens whose states serve all queries."""
        return fitted.prompt.stable

    @contextmanager
    def states(self, prefix: Sequence[int]) -> Iterator[Any]:
        """Return the prefix's states, which end as they were; made again after an error, for some layers may hold
        others."""
        known, self._kept = self._kept, ((), None)
        past = self.backbone.prefix(prefix, self.params, *known)
        yield past
        past.crop(len(prefix) - past.get_seq_length())  # minus the number of tokens to take back
        self._kept = (prefix, past)
