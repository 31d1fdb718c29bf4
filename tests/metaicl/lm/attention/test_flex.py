"""FlexAttention with a tree as its block mask gives what plain sequences give."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from families import make, make_talkative, own_logprobs, tree, tree_logprobs, wrap
from hypothesis import given
from hypothesis import strategies as st
from trees import forests

from examples import examples
from metaicl.lm.attention.flex import block_mask
from metaicl.lm.prompt_tree import pack
from metaicl.methods.scoring import PromptScorer
from task_suites.formats.prompt_format import PromptFormat


@pytest.fixture
def uncompiled():
    """FlexAttention as plain PyTorch calls: inductor's CPU code for it does not compile at every size."""
    if not hasattr(torch.compiler, "set_stance"):
        pytest.skip("this PyTorch compiles FlexAttention always")
    with torch.compiler.set_stance("force_eager"):
        yield


def test_flex_attention_scores_like_plain_sequences(uncompiled):
    backbone, expected = wrap(make("llama"), "flex"), own_logprobs(make("llama"), tree())
    assert backbone.attention == "flex"
    assert (tree_logprobs(backbone, tree()) - expected).abs().max() < 1e-4


def test_flex_attention_runs_under_autocast_where_queries_and_values_differ_in_precision(uncompiled):
    backbone = wrap(make("llama"), "flex", "full", "bfloat16")  # weights in float32, as for training
    found, expected = tree_logprobs(backbone, tree()), own_logprobs(make("llama"), tree())
    assert backbone.attention == "flex"
    assert (found - expected).abs().mean() < 0.005  # 0.0001 was measured; values of other nodes are 0.1 away


def test_flex_attention_scores_and_generates_behind_a_cached_prefix(uncompiled):
    from plain_scores import episode
    from toys import text_task, toy_task

    e, t = episode(toy_task()), episode(text_task(), k=2)
    found = []
    for attention in ("flex", "dense"):
        backbone = wrap(make("llama", max_position_embeddings=4096), attention)
        scores = PromptScorer(backbone, PromptFormat(), e.task, e.support).scores(e.queries)
        talking = wrap(make_talkative("llama", max_position_embeddings=4096), attention)
        texts = PromptScorer(talking, PromptFormat(), t.task, t.support).generate(t.queries, 5)
        assert len(set(texts)) > 1
        found.append((np.stack(scores), texts))
    assert np.allclose(found[0][0], found[1][0], atol=1e-5) and found[0][1] == found[1][1]


@examples(100)
@given(forests(segments=5), st.sampled_from([0, 1, 70, 128]), st.booleans())
def test_the_block_mask_is_the_dense_mask(forest, prefix, leaves):
    row = pack(forest, start=prefix, leaves=leaves)
    dense = row.mask(torch.float32, prefix)[0, 0] == 0
    mask = block_mask(row, torch.device("cpu"), prefix)
    zero, q, k = torch.tensor(0), *(torch.arange(n) for n in dense.shape)
    assert torch.equal(mask.mask_mod(zero, zero, q[:, None], k[None, :]), dense)
    size = mask.BLOCK_SIZE
    blocks = [-(-n // s) for n, s in zip(dense.shape, size, strict=True)]
    padded = torch.zeros(blocks[0] * size[0], blocks[1] * size[1], dtype=torch.bool)
    padded[: dense.shape[0], : dense.shape[1]] = dense
    tiles = padded.unflatten(1, (blocks[1], size[1])).unflatten(0, (blocks[0], size[0]))
    assert torch.equal(mask.to_dense()[0, 0].bool(), tiles.any(3).any(1))
    full = torch.zeros(blocks, dtype=torch.bool)
    for i, count in enumerate(mask.full_kv_num_blocks[0, 0].tolist()):
        full[i, mask.full_kv_indices[0, 0, i, :count].long()] = True
    assert torch.equal(full, tiles.all(3).all(1))
