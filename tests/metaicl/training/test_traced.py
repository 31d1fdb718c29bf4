"""A pass without data: the memory and the operations of the pass that would run."""

from __future__ import annotations

import pytest
import torch
from backbones import tiny_config

from metaicl.lm.tiny import tiny_model
from metaicl.training.traced import Living, operations, shapes


def test_memory_lives_from_its_first_use_to_its_release():
    one = torch.ones(10, device="meta")  # 40 bytes, known before
    with Living([one]) as living:
        two = one + 1
        view = two.view(2, 5)
        del two
        three = view * 2  # beside the 40 bytes that the view keeps
        del view, three
        four = one * 3
    assert living.most([]) == 80 and [count for _, count in living.changes] == [40, 40, -40, -40, 40]
    assert living.most([four]) == 80 and living.most([one]) == 80


def test_operations_of_full_training_are_six_for_each_weight_and_token():
    """Forward two, backward four, in the layers' linear maps; attention comes on top and grows with the square."""
    backbone = shapes(tiny_config(weights="full").resolved())
    linear = sum(
        m.weight.numel() for n, m in tiny_model().named_modules() if isinstance(m, torch.nn.Linear) and n != "lm_head"
    )

    def counted(tokens: int) -> int:
        ids = torch.zeros(1, tokens, dtype=torch.long, device="meta")
        mask = torch.zeros(1, 1, 1, 1, device="meta")
        run = lambda: backbone.model(input_ids=ids, attention_mask=mask, logits_to_keep=1).logits.sum()  # noqa: E731
        return operations(backbone.model, run)

    few, many = counted(64), counted(128)
    attention = (many - 2 * few) / 2  # of 64 tokens: linear work doubles, attention quadruples
    head = 6 * 32 * 257  # one position
    assert few - attention == pytest.approx(6 * 64 * linear + head, rel=0.02)
