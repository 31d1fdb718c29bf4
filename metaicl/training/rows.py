"""The episodes of a step as packed rows, each one forward and backward pass. Rows shrink where memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

import torch

from metaicl.lm.memory import out_of_memory
from metaicl.lm.prompt_tree import best_fit
from metaicl.methods.base import Method
from metaicl.methods.in_context.icl import InContext
from metaicl.training.engines.engine import Engine
from task_suites.core.errors import UserError
from task_suites.episodes import Episode

log = logging.getLogger("metaicl")
FIX = "Lower --k or --queries, add --gradient_checkpointing, or leave out long examples with --max_words."


class Rows:
    """Runs the episodes of this process.

    Args:
        engine: how the processes share the work.
        row_tokens: most tokens of a row; an episode with more is a row by itself.
        ready: called before the backward pass in which the processes add up their gradients.
    """

    def __init__(
        self,
        method: Method,
        engine: Engine,
        row_tokens: int,
        ready: Callable[[], None] = lambda: None,
    ):
        self.method, self.engine, self.row_tokens, self.ready = method, engine, row_tokens, ready
        self.accelerator, self.in_step = engine.accelerator, engine.in_step

    def backward(self, episodes: Sequence[Episode]) -> torch.Tensor:
        """Return `[loss sum, weight]` (float64) over the episodes, whose gradients are added to those of the weights.

        Where memory runs out, all begins again in rows of half the size: the same step in more passes. With several
        processes that cannot be, since the others wait for this one's gradients.

        Raises:
            UserError: the memory does not suffice for one episode.
        """
        while True:
            sums = torch.zeros(2, device=self.accelerator.device, dtype=torch.float64)
            try:
                for pair in self._losses(episodes, self._packed(episodes)):
                    sums += pair
                return sums
            except RuntimeError as error:
                if not out_of_memory(error) or self.accelerator.num_processes > 1:
                    raise
            self.method.zero_grad()
            self._halve(episodes)

    def backward_each(self, episodes: Sequence[Episode], factors: Sequence[float]) -> torch.Tensor:
        """Return `[loss sum, weight]` (float64) of each episode, which is a row by itself. The gradients that are added
        are those of the losses times the factors; what is returned is without them.

        Raises:
            UserError: the memory does not suffice for one episode.
        """
        try:
            pairs = list(self._losses(episodes, [[i] for i in range(len(episodes))], factors))
        except RuntimeError as error:
            if not out_of_memory(error) or self.accelerator.num_processes > 1:
                raise
            raise _no_memory(self._sizes(episodes)) from None
        return torch.stack(pairs[: len(episodes)])

    def _losses(
        self, episodes: Sequence[Episode], rows: list[list[int]], factors: Sequence[float] = ()
    ) -> Iterator[torch.Tensor]:
        passes = self._most_passes(len(rows)) if self.in_step else len(rows)
        for number in range(passes):
            row, last = rows[min(number, len(rows) - 1)], number == passes - 1
            with self.engine.adding(last):
                loss, weight = self.engine.wrapped([episodes[i] for i in row])
                if number >= len(rows):  # another process has more rows: this one goes along, for nothing
                    loss, weight = 0.0 * loss, 0.0 * weight
                if last:
                    self.ready()
                self.engine.backward(loss * factors[row[0]] if factors else loss, last)
            yield torch.stack((loss, weight)).detach().double()

    def _most_passes(self, mine: int) -> int:
        """Return the largest number of rows of a process."""
        counts = self.accelerator.gather(torch.tensor([mine], device=self.accelerator.device))
        return int(counts.max())

    def _packed(self, episodes: Sequence[Episode]) -> list[list[int]]:
        if self.in_step and not isinstance(self.method, InContext):  # a row of several episodes is several passes
            return [[i] for i in range(len(episodes))]
        alone = len(episodes) == 1  # the default: no sizes are needed, and a size costs the building of a tree
        return best_fit([0] if alone else self._sizes(episodes), self.row_tokens)

    def _sizes(self, episodes: Sequence[Episode]) -> list[int]:
        return [self.method.tokens(episode) for episode in episodes]

    def _halve(self, episodes: Sequence[Episode]) -> None:
        """Let the largest row of several episodes be too large from here on."""
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        sizes = self._sizes(episodes)
        shared = [sum(sizes[i] for i in row) for row in self._packed(episodes) if len(row) > 1]
        if not shared:
            raise _no_memory(sizes)
        self.row_tokens = min(self.row_tokens, max(shared)) // 2
        log.warning("out of memory: rows of at most %d tokens from here on, in more passes", self.row_tokens)


def _no_memory(sizes: Sequence[int]) -> UserError:
    found = f"one of {max(sizes)} tokens"
    return UserError("no memory for the forward and backward pass of one episode", found=found, fix=FIX)
