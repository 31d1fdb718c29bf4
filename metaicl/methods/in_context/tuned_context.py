"""What context tuning, prefix tuning and prompt tuning share: the weights are frozen, and what is learned from a
support set stands before each query (`LearnedPrefix`).

A step scores all demonstrations at once, after the same prefix, in one row in which none sees another (`Rehearsal`).
The states of the last step are then those of an ordinary `PromptScorer`'s prompt (`TunedPrompt`), so that scoring,
generation and every calibration work as they do for plain in-context learning; with no steps the answers are those of
plain in-context learning. Cross-fitting trains on each part of the demonstrations again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from metaicl.lm.backbone import Backbone, Params
from metaicl.lm.memory import cache_bytes
from metaicl.lm.prompts import Fitted, Prompt, fit
from metaicl.methods.base import Space
from metaicl.methods.cached_prompt import Branches, CachedPrompt
from metaicl.methods.in_context.icl import InContext
from metaicl.methods.in_context.learned_prefix import LearnedPrefix
from metaicl.methods.in_context.rehearsal import Rehearsal
from metaicl.methods.in_context.selection import Selector
from metaicl.methods.registry import name_of
from metaicl.methods.scoring import PromptScorer
from task_suites.core.errors import UserError, counted
from task_suites.core.ranges import Natural, NonNegative
from task_suites.example import Example
from task_suites.task import Task


class TunedContext(InContext):
    """A prefix that is trained on the support set. See the module's docstring.

    Attributes:
        learned_as: what is trained: the tokens' "states" in every layer, or their "embeddings".
    """

    learned_as: ClassVar[Literal["states", "embeddings"]] = "states"
    space: ClassVar[Space] = {"options.lr": ("log", 3e-4, 3e-2), "options.steps": ("int", 5, 60)}

    @dataclass(frozen=True)
    class Config(InContext.Config):
        """The options of methods that train what stands before a query.

        Attributes:
            steps: how many steps are taken, each on all demonstrations; 0 leaves everything as the model reads it.
            lr: the learning rate of AdamW, which falls to 0 along a cosine.
        """

        steps: Natural = 20
        lr: NonNegative = 3e-3
        supervise: Literal["queries", "all"] = field(default="queries", init=False)  # nothing is meta-trained

    config: Config

    def virtual(self, task: Task) -> tuple[int, ...]:
        """Tokens before the prompt, which only what is trained on them gives a meaning; here there are none."""
        return ()

    def seen(self, prompt: Prompt, support: Sequence[Example], prefix: int, step: int) -> Tensor | None:
        """Return `[demonstrations, prefix]`: which tokens of the prefix each demonstration sees when it is scored
        in a step; None where all see all."""
        return None

    def longest(self, task: Task, support: Sequence[Example], queries: Sequence[Example]) -> int:
        return len(self.virtual(task)) + super().longest(task, support, (*support, *queries))

    def scorer(self, task: Task, shown: Sequence[Example], params: Params | None = None) -> PromptScorer:
        prompt = TunedPrompt(self, task, shown, params)
        return PromptScorer(self.backbone, self.form, task, shown, params=params, prompt=prompt, **self.scoring())

    def selector(self, task: Task, support: Sequence[Example]) -> Selector:
        return Selector(task, support, self.config.selection, self.config.shown)  # they are learned from, shown or not

    def prompt(self, task: Task, support: Sequence[Example]) -> Prompt:
        """Return the prompt of a support set before any query."""
        return Prompt(self.backbone, self.form, task, support if self.config.demonstrations else ())

    def tuned(self, task: Task, support: Sequence[Example], prefix: Sequence[int], params: Params | None) -> Any:
        """Return the cache of a prefix after all steps on a support set.

        Args:
            prefix: the virtual tokens and those of the prompt; all that is cached.

        Raises:
            UserError: the loss is no longer finite.
        """
        learned = self.learned_prefix(task, prefix, params)
        if support and learned.leaves and self.config.steps:
            rehearsal = self.rehearsal(task, support, prefix)
            for step in self._descend(learned.leaves):
                with torch.enable_grad():
                    loss = rehearsal.loss(learned.cache(), step, params)
                    if not torch.isfinite(loss):
                        name, done = name_of(type(self)), counted(step, "step")
                        raise UserError(f"{name}: the loss is not finite after {done} on {task.name}", fix="Lower lr.")
                    grads = torch.autograd.grad(loss, learned.leaves)
                for leaf, grad in zip(learned.leaves, grads, strict=True):
                    leaf.grad = grad
        with torch.no_grad():
            return learned.cache()

    def learned_prefix(self, task: Task, prefix: Sequence[int], params: Params | None) -> LearnedPrefix:
        """Return what is trained of a prefix: its virtual tokens, or all of it where there are none."""
        first = (self.virtual(task) or prefix)[: len(prefix)]
        return LearnedPrefix.of(self.backbone, first, prefix, self.learned_as, params)

    def rehearsal(self, task: Task, support: Sequence[Example], prefix: Sequence[int]) -> Rehearsal:
        """Return what a prefix is trained on: the demonstrations as queries after it."""
        prompt, branches = self.prompt(task, support), self.branches(task, support)
        between = (*self.virtual(task), *prompt.stable)[len(prefix) :]
        seen = partial(self.seen, prompt, support, len(prefix))
        return Rehearsal(self.backbone, self.answer_loss, prompt, support, branches, len(prefix), between, seen)

    def _descend(self, leaves: Sequence[Tensor]) -> Iterator[int]:
        """Yield the number of each step; the step is taken when the next one is requested, by the gradients found
        then."""
        optimizer = torch.optim.AdamW(leaves, lr=self.config.lr, weight_decay=0.0)
        for step in range(self.config.steps):
            yield step
            torch.nn.utils.clip_grad_norm_(leaves, 1.0)
            for group in optimizer.param_groups:
                group["lr"] = self.config.lr * (1 + math.cos(math.pi * step / self.config.steps)) / 2
            optimizer.step()


class TunedPrompt(CachedPrompt):
    """A prompt whose prefix's states are trained on its support set, once for each prefix that is needed.

    Raises:
        UserError: the model keeps no states of a prefix.
    """

    learned = True

    def __init__(self, method: TunedContext, task: Task, support: Sequence[Example], params: Params | None = None):
        super().__init__(method.backbone, method.form, task, support, params, method.config.overflow)
        self.method, self.virtual = method, method.virtual(task)
        self._tuned: dict[tuple[Sequence[int], Sequence[Example]], Any] = {}

    @property
    def state_bytes(self) -> int:
        return sum(cache_bytes(cache) for cache in self._tuned.values())

    def fit(self, branches: Branches = (), reserved: int = 0) -> Fitted:
        """As a `CachedPrompt`, with room for the demonstrations as queries."""
        shown = self.support if self.method.config.demonstrations else ()
        own = self.method.branches(self.task, self.support)
        room = reserved + len(self.virtual)
        fitted = fit(self.backbone, self.form, self.task, shown, [*branches, *own], self.overflow, room)
        self.dropped = fitted.dropped
        longest = max((len(b.ids) for options in fitted.branches for b in options), default=0) + reserved
        _check_kept(self.backbone, self.method, len(self.prefix(fitted)) + longest)
        return replace(fitted, branches=fitted.branches[: len(branches)])

    def prefix(self, fitted: Fitted) -> Sequence[int]:
        return (*self.virtual, *fitted.prompt.stable)

    @contextmanager
    def states(self, prefix: Sequence[int]) -> Iterator[Any]:
        learned_from = self.support[: len(self.support) - self.dropped]
        key = (tuple(prefix), learned_from)
        if key not in self._tuned:
            self._tuned[key] = self.method.tuned(self.task, learned_from, prefix, self.params)
        yield self.backbone.prefix(prefix, self.params, prefix, self._tuned[key])  # a copy, which may grow


def _check_kept(backbone: Backbone, method: TunedContext, length: int) -> None:
    if not backbone.shares(length):
        raise UserError(
            f"{name_of(type(method))} trains the states of a prompt, and {backbone.config.model} keeps none",
            found=f"{counted(length, 'token')} with the attention {backbone.attention}",
            fix="Use shorter prompts, another model, or the method ttt, which trains weights.",
        )
