"""The loss of demonstrations as queries after a prefix, against plain sequences under masks of their own."""

from __future__ import annotations

import pytest
import torch
from tuned import CONTEXT, VIRTUAL, made, plain_losses, rehearsal, start


@pytest.mark.parametrize("leave_one_out", [True, False])
@pytest.mark.parametrize("name", CONTEXT)
def test_the_loss_is_that_of_plain_sequences_in_which_a_demonstration_is_hidden_from_its_query(name, leave_one_out):
    method = made(name, leave_one_out=leave_one_out, token_dropout=0.0)
    with torch.no_grad():
        found = rehearsal(method).loss(start(method).cache(), 0)
        assert float(found) == pytest.approx(float(plain_losses(method)), rel=1e-12)


@pytest.mark.parametrize("name", VIRTUAL)
def test_the_loss_of_virtual_tokens_is_that_of_plain_sequences_after_them(name):
    method = made(name)
    with torch.no_grad():
        found = rehearsal(method).loss(start(method).cache(), 0)
        assert float(found) == pytest.approx(float(plain_losses(method)), rel=1e-12)
