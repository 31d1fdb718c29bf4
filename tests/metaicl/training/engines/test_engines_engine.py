"""The plain engine: gradients are scaled and clipped, and a step is taken where they are finite."""

from __future__ import annotations

import math

import pytest
import torch
from training import equal, make, weights


def with_gradients(trainer, value: float) -> float:
    """Give each learned weight a gradient of one value; return their norm."""
    learned = trainer.method.learned().values()
    for p in learned:
        p.grad = torch.full_like(p, value)
    return abs(value) * math.sqrt(sum(p.numel() for p in learned))


def test_a_step_is_that_of_the_scaled_and_clipped_gradients(tmp_path):
    one, other = make(tmp_path / "one"), make(tmp_path / "other")
    norm = with_gradients(one, 3.0)
    assert one.engine.step(0.5, 0.01) == pytest.approx(norm / 2)
    assert all(p.grad is None for p in one.method.learned().values())
    with_gradients(other, 3.0 / 2 * one.config.max_grad_norm / (norm / 2))  # clipped by hand
    other.engine.step(1.0, 0.01)
    assert equal(weights(one), weights(other), 1e-6) and not equal(
        weights(one), weights(make(tmp_path / "first")), 1e-6
    )


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_no_step_is_taken_by_gradients_that_are_not_finite(tmp_path, value):
    trainer = make(tmp_path)
    before = {n: p.detach().clone() for n, p in trainer.method.learned().items()}
    with_gradients(trainer, value)
    assert not math.isfinite(trainer.engine.step(1.0, 0.01))
    assert all(torch.equal(p, before[n]) for n, p in trainer.method.learned().items())


def test_what_is_whole_lies_in_a_process_as_it_is(tmp_path):
    engine = make(tmp_path).engine
    held = engine.held()
    assert engine.whole(held).keys() == engine.cut(held).keys() == engine.shapes().keys()
    engine.put({name: torch.zeros_like(p) for name, p in held.items()})
    assert all(not p.any() for p in engine.method.learned().values())
    assert engine.model_state() is None
