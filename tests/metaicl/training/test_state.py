"""What a checkpoint keeps of a training: weights, their mean, the optimiser and the generators, as they were."""

from __future__ import annotations

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from metaicl.training.engines.engine import Engine
from metaicl.training.state import LEARNED, OPTIMIZER, RANDOM, read, taken, write
from task_suites.core.errors import UserError


def learned(seed: int) -> dict[str, torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"a": (3, 2), "b": (4,), "c": ()}
    return {n: torch.nn.Parameter(torch.randn(shape, generator=generator)) for n, shape in shapes.items()}


class OfWeights(Engine):
    """An engine of some weights without a model."""

    def __init__(self, weights: dict[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer):
        self.method, self.optimizer = SimpleNamespace(learned=lambda: weights), optimizer
        self.accelerator = SimpleNamespace(device=torch.device("cpu"))


def stepped(weights: dict[str, torch.nn.Parameter], steps: int = 3) -> torch.optim.AdamW:
    optimizer = torch.optim.AdamW(weights.values(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        sum(p.square().sum() for p in weights.values()).backward()
        optimizer.step()
    return optimizer


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@pytest.mark.parametrize("averaged", [True, False])
def test_a_training_that_is_read_back_takes_the_steps_of_one_that_went_on(tmp_path, averaged):
    weights = learned(0)
    optimizer = stepped(weights)
    average = {n: p.detach() / 2 for n, p in weights.items()} if averaged else {}
    write(taken(OfWeights(weights, optimizer), average), tmp_path)
    again = learned(1)
    fresh = torch.optim.AdamW(again.values(), lr=0.7)
    assert same(read(tmp_path, OfWeights(again, fresh)), average)
    assert same(again, weights) and fresh.param_groups[0]["lr"] == 0.1
    for one, opt in ((weights, optimizer), (again, fresh)):
        opt.zero_grad()
        sum(p.pow(4).sum() for p in one.values()).backward()
        opt.step()
    assert same(again, weights)


def test_a_state_that_was_taken_is_not_changed_by_later_steps(tmp_path):
    weights = learned(0)
    before = {n: p.detach().clone() for n, p in weights.items()}
    optimizer = stepped(weights, 1)
    after = {n: p.detach().clone() for n, p in weights.items()}
    now = taken(OfWeights(weights, optimizer), {})
    with torch.no_grad():
        for p in weights.values():
            p.zero_()
        for entry in optimizer.state.values():
            entry["exp_avg"].zero_()
    assert same(now[LEARNED]["learned"], after) and not same(after, before)
    assert all(entry["exp_avg"].abs().sum() > 0 for entry in now[OPTIMIZER]["state"].values())


def test_all_generators_go_on_where_they_were(tmp_path):
    weights = learned(0)
    write(taken(OfWeights(weights, stepped(weights, 0)), {}), tmp_path)

    def drawn() -> tuple:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        first = drawn()
        assert drawn() != first
        read(tmp_path, OfWeights(weights, torch.optim.AdamW(weights.values())))
        assert drawn() == first
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


@pytest.mark.parametrize("part", ["learned", "average"])
def test_weights_of_another_method_are_refused_before_any_is_changed(tmp_path, part):
    weights = learned(0)
    now = taken(OfWeights(weights, stepped(weights, 0)), dict(weights))
    now[LEARNED][part]["a"] = torch.zeros(9, 9)
    write(now, tmp_path)
    other = learned(1)
    before = {n: p.detach().clone() for n, p in other.items()}
    with pytest.raises(UserError, match=rf"{LEARNED}[\s\S]*Delete .* and give the same command"):
        read(tmp_path, OfWeights(other, torch.optim.AdamW(other.values())))
    assert same(other, before)


def test_a_file_that_is_cut_off_is_refused_and_one_of_generators_need_not_be_there(tmp_path):
    weights = learned(0)
    optimizer = stepped(weights)
    write(taken(OfWeights(weights, optimizer), {}), tmp_path)
    (tmp_path / RANDOM).unlink()
    assert read(tmp_path, OfWeights(weights, optimizer)) == {}
    (tmp_path / OPTIMIZER).write_bytes((tmp_path / OPTIMIZER).read_bytes()[:100])
    with pytest.raises(UserError, match=OPTIMIZER):
        read(tmp_path, OfWeights(weights, optimizer))
