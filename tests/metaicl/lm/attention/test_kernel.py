"""The fused kernel's log-sum-exps, which the public attention of PyTorch does not return."""

from __future__ import annotations

import pytest
import torch

from metaicl.lm.attention import kernel
from metaicl.lm.refused import Refused


def test_output_and_log_sum_exp_are_those_of_plain_products():
    query, key, value = (torch.randn(2, 3, rows, 8) for rows in (5, 7, 7))
    out, lse = kernel.fused_attention(query, key, value, 0.3)
    scores = query @ key.transpose(-1, -2) * 0.3
    torch.testing.assert_close(lse, scores.logsumexp(-1))
    torch.testing.assert_close(out, scores.softmax(-1) @ value)


def test_a_log_sum_exp_of_another_layout_is_refused(monkeypatch):
    forward = kernel._forward

    def rows_first(*given, **options):
        out, lse = forward(*given, **options)
        return out, lse.transpose(1, 2)

    monkeypatch.setattr(kernel, "_forward", rows_first)
    states = torch.randn(1, 2, 5, 8)
    with pytest.raises(Refused, match="log-sum-exp"):
        kernel.fused_attention(states, states, states, 1.0)
