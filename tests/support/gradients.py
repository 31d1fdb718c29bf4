"""Gradients of methods, and how far they are from central differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from toys import toy_task

from task_suites.episodes import EpisodeSampler

EPISODE = EpisodeSampler(0, 3, 2).draw(toy_task(), "train", 0)


def gradient_error(
    loss: Callable[[], torch.Tensor], params: Sequence[torch.Tensor], count: int = 3, step: float = 1e-5
) -> float:
    """Return the largest difference between autograd's directional derivatives and central differences over the largest
    derivative, of `count` random directions in `params` (one of them may be flat, and all rounding)."""
    grads = torch.autograd.grad(loss(), params, allow_unused=True)
    generator = torch.Generator().manual_seed(1)
    slopes, apart = [], []
    for _ in range(count):
        direction = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in params]
        slope = sum(float((g * d).sum()) for g, d in zip(grads, direction, strict=True) if g is not None)
        values = []
        for sign in (1, -2, 1):
            with torch.no_grad():
                for p, d in zip(params, direction, strict=True):
                    p.add_(sign * step * d)
            values.append(float(loss().detach()))
        slopes.append(abs(slope))
        apart.append(abs((values[0] - values[1]) / (2 * step) - slope))
    return max(apart) / max(*slopes, 1e-8)


def gradients(method, episodes=(EPISODE,)) -> dict[str, torch.Tensor]:
    learned = method.learned()
    return dict(zip(learned, torch.autograd.grad(method(episodes)[0], list(learned.values())), strict=True))


def flat(tensors) -> torch.Tensor:
    return torch.cat([t.flatten() for t in tensors])
