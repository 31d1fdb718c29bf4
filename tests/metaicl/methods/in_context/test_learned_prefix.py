"""What is learned of a prefix: at first what the model reads, and then what its gradient says."""

from __future__ import annotations

import pytest
import torch
from gradients import gradient_error
from tuned import CONTEXT, VIRTUAL, made, prefix_of, rehearsal, start

from metaicl.methods.in_context.learned_prefix import LearnedPrefix


@pytest.mark.parametrize("name", [*CONTEXT, *VIRTUAL])
def test_the_states_are_at_first_those_that_the_model_reads(name):
    method = made(name)
    with torch.no_grad():
        read, found = method.backbone.prefix(prefix_of(method)), start(method).cache()
    for a, b in zip(read.layers, found.layers, strict=True):
        assert torch.allclose(a.keys, b.keys, atol=1e-12) and torch.allclose(a.values, b.values, atol=1e-12)


def test_tokens_after_those_that_learn_are_read_after_what_was_learned():
    method, prefix = made("ct_kv"), prefix_of(made("ct_kv"))
    learned = LearnedPrefix.of(method.backbone, prefix[:4], prefix, "states", None)
    before = learned.cache()
    assert before.get_seq_length() == len(prefix)
    with torch.no_grad():
        for leaf in learned.leaves:
            leaf += 1.0
    after = learned.cache()
    assert not torch.allclose(before.layers[-1].keys[:, :, 4:], after.layers[-1].keys[:, :, 4:])


def test_of_no_token_nothing_is_learned():
    backbone = made("ct_kv").backbone
    learned = LearnedPrefix.of(backbone, (), (), "states", None)
    assert not learned.leaves and learned.cache().get_seq_length() == 0


@pytest.mark.parametrize("objective", ["tokens", "options"])
@pytest.mark.parametrize("name", [*CONTEXT, *VIRTUAL])
def test_the_gradient_of_what_is_trained_equals_central_differences(name, objective):
    method = made(name, objective=objective)
    asked, learned = rehearsal(method), start(method)
    assert all(leaf.dtype == torch.float64 for leaf in learned.leaves)
    assert gradient_error(lambda: asked.loss(learned.cache(), 1), learned.leaves) < 1e-6
