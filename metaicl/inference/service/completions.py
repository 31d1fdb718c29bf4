"""`/v1/completions` as OpenAI's clients and lm-evaluation-harness (`local-completions`) call it: text or token ids in,
log-probabilities of each token out, with greedy or sampled continuations.

Prompts run in parts of a bounded number of tokens after their own states; no logits of a whole context are held.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from metaicl.inference.service.schemas import (
    Completion,
    CompletionChoice,
    CompletionLogprobs,
    CompletionRequest,
    CompletionUsage,
)
from metaicl.lm.backbone import Backbone
from metaicl.lm.prompt_tree import PromptTree, pack
from task_suites.core.errors import UserError, refuse_half_characters

LEAST = -1e9  # JSON has no infinity
TURN = 16  # new tokens after which others have their turn
UNFINISHED = "\ufffd"  # what an incomplete character is decoded as
LONGEST = 8  # tokens of one character
PART = 256  # tokens that run at once: 50 MB of logits of a vocabulary of 49,152


@dataclass
class Logged:
    """Tokens with their log-probabilities, and the most likely tokens at each position."""

    ids: list[int] = field(default_factory=list)
    logprobs: list[float | None] = field(default_factory=list)
    tops: list[dict[str, float] | None] = field(default_factory=list)


def prompts_of(backbone: Backbone, request: CompletionRequest) -> list[list[int]]:
    """Return the prompts as token ids.

    Raises:
        UserError: there is none, one is empty, has an id that the model does not know, or does not fit.
    """
    given: Any = request.prompt
    if isinstance(given, str) or (given and isinstance(given[0], int)):
        given = [given]
    known = int(backbone.base_model.get_input_embeddings().num_embeddings)
    prompts = []
    for index, one in enumerate(given):
        if isinstance(one, str):
            refuse_half_characters(one, f"prompt {index}")
        ids = list(backbone.texts.whole(one).ids) if isinstance(one, str) else list(one)
        if not ids:
            raise UserError(f"prompt {index} has no tokens", expected="one at least")
        if wrong := [i for i in ids if not 0 <= i < known]:
            raise UserError(f"prompt {index} has an unknown token", found=wrong[0], expected=f"from 0 to {known - 1}")
        if len(ids) + request.max_tokens > backbone.context:
            found = f"{len(ids)} and {request.max_tokens} to come"
            raise UserError(f"prompt {index} is too long", found=found, expected=f"at most {backbone.context} tokens")
        prompts.append(ids)
    if not prompts:
        raise UserError("the request has no prompt", expected='"prompt": a text, token ids, or a list of either')
    return prompts


def complete(
    backbone: Backbone, request: CompletionRequest, model: str, most: int = 256
) -> Generator[None, None, Completion]:
    """Return the answer to a request, as OpenAI's. It stops after each part, so that others have their turn.

    Args:
        most: the largest number of prompts.

    Raises:
        UserError: see `prompts_of`.
    """
    prompts = prompts_of(backbone, request)
    if len(prompts) > most:
        raise UserError("too many prompts", found=len(prompts), expected=f"at most {most} in a request")
    choices, new = [], 0
    for index, ids in enumerate(prompts):
        choice, count = yield from _choice(backbone, request, ids, index)
        choices.append(choice)
        new += count
    asked = sum(map(len, prompts))
    return Completion(
        id=f"cmpl-{secrets.token_hex(12)}",
        created=int(time.time()),
        model=model,
        choices=choices,
        usage=CompletionUsage(prompt_tokens=asked, completion_tokens=new, total_tokens=asked + new),
    )


@torch.no_grad()
def _choice(
    backbone: Backbone, request: CompletionRequest, ids: Sequence[int], index: int
) -> Generator[None, None, tuple[CompletionChoice, int]]:
    """Return (the choice of one prompt, the number of its new tokens)."""
    tokenizer, top = backbone.tokenizer, request.logprobs
    given = [request.stop] if isinstance(request.stop, str) else request.stop or []
    stops = [stop for stop in given if stop]  # an empty text would stop before the first token
    source = _Source(backbone, ids)
    logged = Logged()
    log = top is not None
    if request.echo:
        logged.ids.append(ids[0])
        logged.logprobs.append(None)
        logged.tops.append(None)
    rest = list(ids[1:])
    last = None
    for logits in source.read():
        targets, rest = rest[: len(logits)], rest[len(logits) :]
        if request.echo and targets:
            _append(logged, logits[: len(targets)], targets, top, tokenizer)
        last = logits[-1]
        yield
    generator = torch.Generator().manual_seed((request.seed or 0) % (1 << 63))
    new: list[int] = []
    text = ""
    reason: Literal["length", "stop"] = "length"
    while last is not None and len(new) < request.max_tokens:
        token = _next(last, request.temperature, generator)
        if log:
            _append(logged, last[None], [token], top, tokenizer)
        new.append(token)
        text = tokenizer.decode(new, skip_special_tokens=True)
        ends = [text.index(stop) for stop in stops if stop in text]
        if ends or token == tokenizer.eos_token_id:
            text, reason = text[: min(ends)] if ends else text, "stop"
            break
        if len(new) < request.max_tokens:
            last = source.after(token)
            if not len(new) % TURN:
                yield
    shown = (tokenizer.decode(list(ids)) if request.echo else "") + text
    logprobs = _shown(logged, tokenizer) if log else None
    return CompletionChoice(index=index, text=shown, logprobs=logprobs, finish_reason=reason), len(new)


class _Source:
    """Logits of a prompt, part by part, and of what is added to it."""

    def __init__(self, backbone: Backbone, ids: Sequence[int]):
        self.backbone, self.ids, self.past = backbone, list(ids), backbone.prefix(())
        self.plain = not backbone.shares(backbone.context) or backbone.dense_refusal is not None

    def read(self) -> Iterator[Tensor]:
        """Yield logits `[tokens, vocabulary]` after the tokens of the prompt."""
        if self.plain:
            yield self.backbone.plain_logits(self.ids)
            return
        for start in range(0, len(self.ids), PART):
            yield self._run(self.ids[start : start + PART], start)

    def after(self, token: int) -> Tensor:
        """Return the logits `[vocabulary]` after one more token."""
        self.ids.append(token)
        if self.plain:
            return self.backbone.plain_logits(self.ids)[-1]
        return self._run([token], len(self.ids) - 1)[-1]

    def _run(self, ids: Sequence[int], start: int) -> Tensor:
        row = pack([PromptTree.of_path(ids)], start=start, leaves=True)
        mask = row.mask(self.backbone.mask_dtype, start)
        return self.backbone.next_logits(row, mask, self.past, range(len(ids)), None)


def _next(logits: Tensor, temperature: float, generator: torch.Generator) -> int:
    if temperature < 1e-4:
        return int(logits.argmax())
    shares = (logits.double().cpu() / temperature).softmax(-1)
    return int(torch.multinomial(shares, 1, generator=generator))


def _append(logged: Logged, logits: Tensor, targets: Sequence[int], top: int | None, tokenizer: Any) -> None:
    """Add tokens with their log-probabilities."""
    shares = logits.float().log_softmax(-1)
    best = shares.topk(top or 1, dim=-1)
    found = shares[torch.arange(len(targets)), torch.tensor(list(targets))].tolist()
    for token, own, values, ids in zip(targets, found, best.values.tolist(), best.indices.tolist(), strict=True):
        tops: dict[str, float] = {}
        for value, one in zip(values[: top or 0], ids, strict=False):
            tops.setdefault(tokenizer.decode([one]), max(value, LEAST))  # of two tokens with one text, the better
        tops.setdefault(tokenizer.decode([token]), max(own, LEAST))
        logged.ids.append(token)
        logged.logprobs.append(max(own, LEAST))
        logged.tops.append(tops)


def _shown(logged: Logged, tokenizer: Any) -> CompletionLogprobs:
    texts = [tokenizer.decode([token]) for token in logged.ids]
    offsets = _offsets(logged.ids, tokenizer)
    return CompletionLogprobs(
        tokens=texts, token_logprobs=logged.logprobs, top_logprobs=logged.tops, text_offset=offsets
    )


def _offsets(ids: Sequence[int], tokenizer: Any) -> list[int]:
    """Return where in the text each token begins; the tokens that make one character begin where it does."""
    offsets, at = [], 0
    open_ids: list[int] = []  # tokens at whose end a character may be unfinished
    text = ""
    for token in ids:
        offsets.append(at + len(text.rstrip(UNFINISHED)))
        open_ids.append(token)
        text = tokenizer.decode(open_ids)
        if not text.endswith(UNFINISHED) or len(open_ids) > LONGEST:
            at, open_ids, text = at + len(text), [], ""
    return offsets
