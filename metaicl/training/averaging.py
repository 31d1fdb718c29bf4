"""The mean of the weights after the last steps (Polyak and Juditsky 1992), built up step by step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def add_to_average(average: dict[str, Tensor], number: int, learned: Mapping[str, Tensor]) -> None:
    """Add the weights after the step with this number to the mean of those before.

    Args:
        number: counted from 1, the first step of the mean; a lower one is before it and changes nothing.
    """
    if number < 1:
        return
    for name, p in learned.items():
        if number == 1 or name not in average:
            average[name] = p.detach().clone()
        else:
            average[name].lerp_(p.detach(), 1 / number)


@torch.no_grad()
def take_average(average: Mapping[str, Tensor], learned: Mapping[str, Tensor]) -> None:
    """Put the mean into the weights."""
    for name, p in learned.items():
        p.copy_(average[name])
