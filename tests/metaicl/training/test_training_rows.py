"""The episodes of a step run in rows, which shrink where memory runs out."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from training import equal, make, weights

from metaicl.training.engines.engine import Engine
from metaicl.training.rows import Rows
from task_suites.core.errors import UserError


def memory_for(trainer, most, monkeypatch):
    """Let the forward pass run out of memory for more than this many episodes."""
    forward, rows = trainer.method.forward, []

    def bounded(episodes):
        rows.append(len(episodes))
        loss, weight = forward(episodes)
        if len(episodes) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return loss, weight

    monkeypatch.setattr(trainer.method, "forward", bounded)
    return rows


def test_where_memory_runs_out_the_same_step_is_taken_in_more_passes(tmp_path, monkeypatch, caplog):
    whole, cut = make(tmp_path / "whole", "ict"), make(tmp_path / "cut", "ict")
    rows = memory_for(cut, 1, monkeypatch)
    losses = [(whole.take_step()["loss"], cut.take_step()["loss"]) for _ in range(2)]
    assert all(a == pytest.approx(b, rel=1e-5) for a, b in losses)
    assert equal(weights(whole), weights(cut), 1e-5)
    assert rows[0] == 4 and rows[-4:] == [1, 1, 1, 1]  # the second step does not try again
    assert "out of memory: rows of at most" in caplog.text


def test_an_episode_that_finds_no_memory_is_a_clear_error(tmp_path, monkeypatch):
    trainer = make(tmp_path)
    memory_for(trainer, 0, monkeypatch)
    with pytest.raises(UserError, match=r"no memory for .* one episode; found one of \d+ tokens. Lower --k"):
        trainer.take_step()


class Counting(torch.nn.Module):
    """A method whose loss is one weight times each episode's number, and whose size is that number."""

    def __init__(self):
        super().__init__()
        self.weight, self.rows = torch.nn.Parameter(torch.ones(())), []

    def tokens(self, episode: int) -> int:
        return episode

    def forward(self, episodes: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        self.rows.append(sorted(episodes))
        return self.weight * sum(episodes), torch.tensor(float(len(episodes)))


class Alone(Engine):
    """The engine of one process, which calls `wrapped`."""

    def __init__(self, wrapped: object):
        self.wrapped = wrapped
        self.accelerator = SimpleNamespace(
            device=torch.device("cpu"),
            num_processes=1,
            backward=lambda loss: loss.backward(),
            no_sync=lambda wrapped: nullcontext(),
        )


@pytest.mark.parametrize("row_tokens", [1, 10, 100])
def test_loss_weight_and_gradient_are_the_sums_over_the_episodes_however_they_are_packed(row_tokens):
    method = Counting()
    found = Rows(method, Alone(method), row_tokens).backward([4, 3, 7, 2, 9])
    assert found.tolist() == [25.0, 5.0] and found.dtype == torch.float64
    assert float(method.weight.grad) == 25.0
    assert sorted(n for row in method.rows for n in row) == [2, 3, 4, 7, 9]
    assert all(len(row) == 1 or sum(row) <= row_tokens for row in method.rows)


def test_rows_are_halved_from_the_largest_that_was_shared_and_gradients_begin_again():
    method = Counting()
    rows, forward = Rows(method, Alone(method), 10), method.forward

    def second_without_memory(episodes):
        if len(method.rows) == 1:
            method.rows.append([])
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(episodes)

    method.forward = second_without_memory
    assert rows.backward([6, 4, 3, 5]).tolist() == [18.0, 4.0]
    assert float(method.weight.grad) == 18.0  # without those of the row before
    assert rows.row_tokens == 5  # half of six and four, the largest row
    assert sorted(method.rows[2:]) == [[3], [4], [5], [6]]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("another")])
def test_another_error_and_one_of_several_processes_is_raised_as_it_is(error):
    def broken(episodes):
        raise error

    engine = Alone(broken)
    engine.accelerator.num_processes = 2 if isinstance(error, torch.OutOfMemoryError) else 1
    with pytest.raises(type(error), match=str(error)):
        Rows(Counting(), engine, 10).backward([1, 2])
