"""Greedy decoding and beam search for several questions after one prompt prefix, in batches.

A decoder keeps the unfinished answers (hypotheses) and says what may follow each; the search chooses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from metaicl.lm.backbone import Backbone, Params
from metaicl.lm.prompt_tree import Packed, additive_mask
from metaicl.lm.served import ServedModel
from task_suites.formats.tagging import STOP

Hypothesis = tuple[int, ...]  # what a decoder knows of an unfinished answer


class Decoder(Protocol):
    def extend(
        self, hypotheses: Sequence[Hypothesis], tokens: Sequence[Sequence[int]]
    ) -> tuple[list[Hypothesis], Tensor]:
        """Append tokens to each hypothesis: the longer ones, and what may follow them as logits `[n, vocabulary]`."""


class TreeDecoder:
    """Hypotheses as branches of one growing row after a prefix cache; each has the positions of its tokens in it."""

    def __init__(self, backbone: Backbone, prefix: int, past: Any, params: Params | None):
        self.backbone, self.prefix, self.past, self.params = backbone, prefix, past, params
        self.added = 0

    def extend(
        self, hypotheses: Sequence[Hypothesis], tokens: Sequence[Sequence[int]]
    ) -> tuple[list[Hypothesis], Tensor]:
        start, count = self.prefix + self.added, sum(map(len, tokens))
        sees = torch.zeros(count, start + count, dtype=torch.bool)
        sees[:, : self.prefix] = True
        longer: list[Hypothesis] = []
        positions: list[int] = []
        row = 0
        for hypothesis, new in zip(hypotheses, tokens, strict=True):
            places = list(hypothesis)
            for _ in new:
                positions.append(self.prefix + len(places))
                places.append(start + row)
                sees[row, places] = True
                row += 1
            longer.append(tuple(places))
        self.added += count
        packed = Packed(torch.tensor([t for new in tokens for t in new]), torch.tensor(positions), torch.empty(0), ())
        mask = additive_mask(sees, self.backbone.mask_dtype)[None, None]
        ends = [places[-1] - start for places in longer]
        return longer, self.backbone.next_logits(packed, mask, self.past, ends, self.params)


class PlainDecoder:
    """The same without shared states: whole sequences, for models that take no tree mask."""

    def __init__(self, backbone: Backbone, prefix: Sequence[int], params: Params | None):
        self.backbone, self.prefix, self.params = backbone, prefix, params

    def extend(
        self, hypotheses: Sequence[Hypothesis], tokens: Sequence[Sequence[int]]
    ) -> tuple[list[Hypothesis], Tensor]:
        longer = [(*hypothesis, *new) for hypothesis, new in zip(hypotheses, tokens, strict=True)]
        ends = [self.backbone.plain_logits([*self.prefix, *ids], self.params)[-1] for ids in longer]
        return longer, torch.stack(ends)


@dataclass
class _Beam:
    """An unfinished answer to one question."""

    question: int
    hypothesis: Hypothesis
    tokens: list[int]
    logprob: float


def _continued(
    parents: Sequence[_Beam], total: Tensor, tokenizer: Any, beams: int, last: bool
) -> tuple[list[tuple[float, str]], list[_Beam]]:
    """Return what ends among the best `beams` continuations of one question's beams, or all of these at the last
    step, and the best `beams` that continue, however many better ones end. `total` `[parents, vocabulary]` are
    log-probabilities."""
    count, size = 2 * beams, total.shape[1]
    while True:
        ended: list[tuple[float, str]] = []
        longer: list[_Beam] = []
        best = total.flatten().topk(min(count, total.numel()))
        for rank, (logprob, place) in enumerate(zip(best.values.tolist(), best.indices.tolist(), strict=True)):
            parent, token = parents[place // size], place % size
            tokens = [*parent.tokens, token]
            text = tokenizer.decode(tokens, skip_special_tokens=True)
            ends = STOP in text or token == tokenizer.eos_token_id
            if rank < beams and (ends or last):
                ended.append((logprob / len(tokens), text.split(STOP)[0].strip()))
            elif not ends and len(longer) < beams:
                longer.append(_Beam(parent.question, parent.hypothesis, tokens, logprob))
        if last or beams in (len(ended), len(longer)) or count >= total.numel():
            return ended, longer
        count *= 2


def search(decoder: Decoder, tokenizer: Any, questions: Sequence[Sequence[int]], limit: int, beams: int) -> list[str]:
    """Return the best answer to each question; one beam is greedy decoding."""
    hypotheses, logits = decoder.extend([()] * len(questions), questions)
    live = [_Beam(i, h, [], 0.0) for i, h in enumerate(hypotheses)]
    done: list[list[tuple[float, str]]] = [[] for _ in questions]  # (log-probability a token, text)
    for step in range(limit):
        steps = logits.float().log_softmax(-1)
        grown: list[_Beam] = []
        for question in sorted({beam.question for beam in live}):
            rows = [r for r, beam in enumerate(live) if beam.question == question]
            total = torch.stack([steps[r] + live[r].logprob for r in rows])
            ended, mine = _continued([live[r] for r in rows], total, tokenizer, beams, step == limit - 1)
            done[question] += ended
            if len(done[question]) < beams:
                grown += mine
        live = grown
        if not live or step == limit - 1:
            break
        hypotheses, logits = decoder.extend([b.hypothesis for b in live], [b.tokens[-1:] for b in live])
        for beam, hypothesis in zip(live, hypotheses, strict=True):
            beam.hypothesis = hypothesis
    return [max(answers, key=lambda a: a[0])[1] for answers in done]


def plain_search(
    backbone: Backbone,
    prefix: Sequence[int],
    questions: Sequence[Sequence[int]],
    limit: int,
    beams: int,
    params: Params | None = None,
) -> list[str]:
    """Return the best answer to each question without shared states; the server of a served model searches itself.

    Raises:
        UserError: beam search of a served model.
    """
    if isinstance(backbone, ServedModel):
        return backbone.texts_after([[*prefix, *ids] for ids in questions], limit, beams)
    return search(PlainDecoder(backbone, prefix, params), backbone.tokenizer, questions, limit, beams)
