"""The search for an answer, on models that are tables: plain beam search over all continuations finds the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metaicl.lm.search import search
from task_suites.formats.tagging import STOP

END, LETTERS = 4, ["a", "b", "\n", "c\n", "", " "]


class Letters:
    """A tokenizer of six tokens: three that continue, two with a line break, and the end token."""

    eos_token_id = END

    def decode(self, tokens: Sequence[int], skip_special_tokens: bool) -> str:
        assert skip_special_tokens
        return "".join(LETTERS[t] for t in tokens)


class Table:
    """The logits after a sequence are drawn by the sequence."""

    def __init__(self, seed: int):
        self.seed = seed

    def after(self, ids: Sequence[int]) -> torch.Tensor:
        generator = torch.Generator().manual_seed(hash((self.seed, *ids)) % (1 << 31))
        return 2 * torch.randn(len(LETTERS), generator=generator)

    def extend(self, hypotheses, tokens):
        longer = [(*before, *new) for before, new in zip(hypotheses, tokens, strict=True)]
        return longer, torch.stack([self.after(ids) for ids in longer])


@dataclass(frozen=True)
class Path:
    tokens: tuple[int, ...]
    logprob: float

    @property
    def text(self) -> str:
        return Letters().decode(self.tokens, True)

    @property
    def ended(self) -> bool:
        return STOP in self.text or self.tokens[-1] == END


def plain_search(table: Table, question: Sequence[int], limit: int, beams: int) -> str:
    """As transformers' `early_stopping=True`: the best `beams` of all continuations end if they end, and
    the best `beams` that do not end continue. It stops with this many ended, and takes the likeliest one a token."""
    live, done = [Path((), 0.0)], []
    for step in range(1, limit + 1):
        steps = {path: table.after([*question, *path.tokens]).log_softmax(-1).tolist() for path in live}
        every = [Path((*p.tokens, t), p.logprob + lp) for p in live for t, lp in enumerate(steps[p])]
        every.sort(key=lambda path: -path.logprob)
        done += [path for path in every[:beams] if path.ended]
        live = [path for path in every if not path.ended][:beams]
        if step == limit:
            done += live
        if len(done) >= beams:
            break
    return max(done, key=lambda path: path.logprob / len(path.tokens)).text.split(STOP)[0].strip()


@given(st.integers(0, 1 << 20), st.integers(1, 4), st.integers(1, 6), st.integers(1, 3))
def test_answers_are_those_of_plain_beam_search_over_all_continuations(seed, beams, limit, questions):
    asked = [[9] * n for n in range(1, questions + 1)]
    expected = [plain_search(Table(seed), question, limit, beams) for question in asked]
    assert search(Table(seed), Letters(), asked, limit, beams) == expected


def test_as_many_go_on_as_there_are_beams_whatever_number_of_better_ones_ended():
    """Here the best four of all continuations end but for one; the second that continues wins a step later."""

    class Ending(Table):
        def after(self, ids):
            likely = {(9,): [0.3, 0.09, 0.2, 0.2, 0.2, 0.01], (9, 1): [0.001, 0.001, 0.997, 0.001, 0, 0]}
            return torch.tensor(likely.get(tuple(ids), [1 / 6] * 6)).log()

    assert search(Ending(0), Letters(), [[9]], 3, 2) == ["b"] == [plain_search(Ending(0), [9], 3, 2)]


@pytest.mark.parametrize("limit", [1, 2, 4])
@pytest.mark.parametrize("beams", [1, 3])
def test_no_answer_is_longer_than_it_may_be_and_the_last_token_is_not_run(beams, limit):
    lengths = []

    class Endless(Table):
        def after(self, ids):
            lengths.append(len(ids))
            return torch.tensor([3.0, 2.0, -9, -9, -9, 1.0])

    assert search(Endless(0), Letters(), [[9]], limit, beams) == ["a" * limit]
    assert max(lengths) == limit  # the question's one token, and all but the last


def test_where_enough_go_on_twice_as_many_continuations_are_read_as_there_are_beams():
    read = []

    class Counting(Letters):
        def decode(self, tokens, skip_special_tokens):
            read.append(tokens)
            return super().decode(tokens, skip_special_tokens)

    class Endless(Table):
        def after(self, ids):
            return torch.tensor([3.0, 2.0, -9, -9, -9, 1.0])

    assert search(Endless(0), Counting(), [[9]], 3, 1) == ["aaa"]
    assert len(read) == 3 * 2
