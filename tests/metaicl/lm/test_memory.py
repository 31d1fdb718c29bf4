"""The memory of a prefix's states is counted in bytes, and an error of memory is distinguished from another one."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache

from metaicl.lm.memory import cache_bytes, out_of_memory


@pytest.mark.parametrize("tokens", [1, 7])
def test_a_prefix_takes_two_numbers_for_each_token_layer_and_width_of_the_key_heads(frozen, tokens):
    cache = frozen.prefix(range(tokens))  # two layers of two key heads of eight numbers, in float32
    assert cache_bytes(cache) == 2 * tokens * 2 * 2 * 8 * 4


def test_what_holds_no_states_takes_no_memory():
    assert cache_bytes(DynamicCache()) == 0
    assert cache_bytes(None) == 0


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 1 bytes"), True),
        (RuntimeError("The size of tensor a must match"), False),
    ],
)
def test_an_error_of_memory_is_known_by_its_class_or_by_the_allocator_that_it_names(error, expected):
    assert out_of_memory(error) is expected
