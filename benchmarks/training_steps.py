"""The sides of a meta-training step (`training.py`): on trees, and on plain rows, padded or packed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import measuring  # noqa: F401 - it sets the environment, so before torch
import torch
import torch.nn.functional as F
from measuring import say, take_turns
from prompt_case import MODEL, WIDTH, Case

from metaicl.lm.backbone import Backbone
from metaicl.lm.config import BackboneConfig
from metaicl.methods.in_context.icl import InContext
from metaicl.training.config import TrainerConfig
from task_suites.episodes import Episode
from task_suites.formats.prompt_format import PromptFormat

IGNORED = -100  # F.cross_entropy's label of a position that is not supervised
LORA = BackboneConfig(MODEL, "lora", lora_r=16, lora_alpha=32, lora_layers=20, device="cpu")  # configs/realtasks.yaml
TRAINER = TrainerConfig(lr_scheduler_type="constant")
Step = Callable[[], float]  # forward and backward; gives the summed loss (where it trains: the supervised tokens)


@dataclass(frozen=True)
class Row:
    """One query as a plain sequence: demonstrations, query and right answer, whose tokens begin at `answer`."""

    ids: list[int]
    answer: int

    @property
    def supervised(self) -> int:
        return len(self.ids) - self.answer

    @property
    def targets(self) -> list[int]:
        """What is to follow each token but the last."""
        return [IGNORED] * (self.answer - 1) + self.ids[self.answer :]


def rows_of(backbone: Backbone, episode: Episode) -> list[Row]:
    """Return the episode's queries as rows, by the format and the tokenizer only."""
    answered = [replace(q, options=(q.output or "",)) for q in episode.queries]
    case = Case(backbone, None, PromptFormat(), episode.task, episode.support, answered)
    return [Row([*context, *answer], len(context)) for context, answer in case.prompts().whole()]


class Plain:
    """The model without this project's attention, on the same storage of weights, with gradients of its own.

    Attributes:
        tokens_run: positions that went through the model, padding included.
    """

    def __init__(self, backbone: Backbone):
        self.model = cast(Any, copy.deepcopy(backbone.model))
        for mine, theirs in zip(self.model.parameters(), backbone.model.parameters(), strict=True):
            mine.data = theirs.data
        self.model.set_attn_implementation("sdpa")
        self.precision = backbone.precision
        self.tokens_run = 0

    def padded(self, rows: Sequence[Row], *, batch: int, width: int, everywhere: bool) -> float:
        """MetaICL's way, `batch` rows at a time; `everywhere` computes logits at all positions."""
        width, total = max(width, *(len(row.ids) for row in rows)), 0.0
        for start in range(0, len(rows), batch):
            part = rows[start : start + batch]
            ids = torch.zeros(len(part), width, dtype=torch.long)
            mask, targets = torch.zeros_like(ids), torch.full_like(ids, IGNORED)
            for r, row in enumerate(part):
                ids[r, : len(row.ids)] = torch.tensor(row.ids)
                mask[r, : len(row.ids)] = 1
                targets[r, : len(row.ids) - 1] = torch.tensor(row.targets)
            total += self._step(targets, everywhere, input_ids=ids, attention_mask=mask)
        return total

    def packed(self, rows: Sequence[Row], budget: int) -> float:
        """Rows of at most `budget` tokens; a sequence's last token, after which nothing is predicted, does not run.

        transformers isolates sequences whose positions start again if there is neither a mask nor a cache.
        """
        total = 0.0
        for chosen in best_fit_decreasing([len(row.ids) - 1 for row in rows], budget):
            part = [rows[i] for i in chosen]
            ids = torch.tensor([token for row in part for token in row.ids[:-1]])
            positions = torch.cat([torch.arange(len(row.ids) - 1) for row in part])
            targets = torch.tensor([target for row in part for target in row.targets])
            total += self._step(targets[None], False, input_ids=ids[None], position_ids=positions[None])
        return total

    def _step(self, targets: torch.Tensor, everywhere: bool, **inputs: torch.Tensor) -> float:
        """Forward and backward of the loss at `targets` `[rows, length]`."""
        self.tokens_run += targets.numel()
        places = (targets != IGNORED).any(0).nonzero()[:, 0]
        keep = {} if everywhere else {"logits_to_keep": places}
        with self.precision():
            logits = self.model(**inputs, **keep, use_cache=False).logits
        asked = targets if everywhere else targets[:, places]
        loss = F.cross_entropy(logits.float().flatten(0, 1), asked.flatten(), reduction="sum", ignore_index=IGNORED)
        loss.backward()
        return loss.item()


def best_fit_decreasing(sizes: Sequence[int], budget: int) -> list[list[int]]:
    """Indices of what goes into each row: the longest first, each where it leaves the least room.

    One that exceeds the budget gets a row of its own.
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for i in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        fitting = [r for r, free in enumerate(room) if free >= sizes[i]]
        if fitting:
            row = min(fitting, key=room.__getitem__)
        else:
            row = len(rows)
            rows.append([])
            room.append(max(budget, sizes[i]))
        rows[row].append(i)
        room[row] -= sizes[i]
    return rows


def tree_step(method: InContext, episode: Episode) -> tuple[float, float]:
    """Return (summed loss, supervised tokens) of a forward and backward pass."""
    loss, weight = method([episode])
    loss.backward()
    return loss.item(), weight.item()


def norm(gradients: Mapping[str, torch.Tensor]) -> float:
    return torch.stack([g.double().norm() for g in gradients.values()]).norm().item()


@dataclass(frozen=True)
class Comparison:
    """The same episodes for all sides, and the settings of the plain ones."""

    method: InContext
    plain: Plain
    episodes: Sequence[Episode]
    rows: Sequence[Sequence[Row]]
    width: int = WIDTH
    everywhere: bool = False
    batch: int = 4
    budget: int = 0

    @classmethod
    def of(cls, backbone: Backbone, episodes: Sequence[Episode], **settings: Any) -> Comparison:
        rows = [rows_of(backbone, e) for e in episodes]
        return cls(InContext(backbone, PromptFormat(), InContext.Config()), Plain(backbone), episodes, rows, **settings)

    @property
    def queries(self) -> int:
        return sum(map(len, self.rows))

    def padded(self, rows: Sequence[Row], batch: int) -> float:
        return self.plain.padded(rows, batch=batch, width=self.width, everywhere=self.everywhere)

    def sides(self) -> dict[str, Step]:
        """All episodes once through each side, one after the other; gradients add up."""
        return {
            "trees": lambda: sum(tree_step(self.method, e)[0] for e in self.episodes),
            "padded": lambda: sum(self.padded(rows, self.batch) for rows in self.rows),
            "packed": lambda: sum(self.plain.packed(rows, self.budget) for rows in self.rows),
        }

    def tokens_run(self) -> int:
        return self.method.backbone.tokens_run + self.plain.tokens_run

    def take_gradients(self) -> dict[str, torch.Tensor]:
        """Return the gradients by name, which are cleared."""
        found = {}
        for model in (self.method.backbone.model, self.plain.model):
            found.update({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
            model.zero_grad()
        return found

    def tuned(self, batches: Sequence[int], budgets: Sequence[int], few: int, rounds: int) -> Comparison:
        """With the batch size and the row budget that are fastest on the first `few` rows."""
        rows = self.rows[0][:few]
        batch = self._fastest({size: partial(self.padded, rows, size) for size in batches}, rounds)
        budget = self._fastest({size: partial(self.plain.packed, rows, size) for size in budgets}, rounds)
        say(f"  padded: batch {batch} is best of {list(batches)}; packed: budget {budget} is best of {list(budgets)}")
        return replace(self, batch=batch, budget=budget)

    def _fastest(self, runs: Mapping[int, Step], rounds: int) -> int:
        if len(runs) == 1:
            return next(iter(runs))
        seconds = take_turns({str(size): run for size, run in runs.items()}, {str(size): rounds for size in runs})
        self.take_gradients()
        return min(runs, key=lambda size: min(seconds[str(size)]))
