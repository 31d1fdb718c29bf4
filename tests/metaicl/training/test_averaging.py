"""The mean of the last steps' weights is built up step by step."""

from __future__ import annotations

import pytest
import torch

from metaicl.training.averaging import add_to_average, take_average


def test_the_running_mean_is_the_mean_of_the_steps_from_the_first_one_on():
    learned = {"w": torch.nn.Parameter(torch.zeros(2))}
    average: dict[str, torch.Tensor] = {}
    values = [[9.0, 9.0], [1.0, 2.0], [3.0, 7.0], [5.0, 0.0]]
    for number, value in enumerate(values):
        learned["w"].data = torch.tensor(value)
        add_to_average(average, number, learned)
        assert bool(average) is (number > 0)
    assert average["w"].tolist() == pytest.approx([3.0, 3.0])
    take_average(average, learned)
    assert learned["w"].tolist() == average["w"].tolist() and learned["w"].requires_grad
