"""The tree's arrays, and the equality that the module stands on: a leaf's log-probability is its plain sequence's."""

from __future__ import annotations

import pytest
import torch
from conftest import make_learnable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metaicl.prompt_tree import PromptTree, pack

BRANCHES = st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=5), min_size=1, max_size=6)
TRUNK = st.lists(st.integers(1, 12), min_size=1, max_size=8)


def grow(trunk: list[int], branches: list[list[int]]) -> tuple[PromptTree, list[list[int]]]:
    tree = PromptTree()
    after = tree.insert(-1, trunk)[-1]
    return tree, [tree.insert(after, branch) for branch in branches]


def plain(backbone, tree: PromptTree, node: int) -> float:
    """Log-probability of a node from the model run on its path alone."""
    ids = [tree.tokens[n] for n in tree.path(node)]
    logits = backbone.plain_logits(ids[:-1])[-1]
    return float(torch.log_softmax(logits, -1)[ids[-1]])


def test_the_docstring_example_packs_as_drawn():
    tree, _ = grow([1, 2], [[3, 10, 11], [3, 10, 12], [4, 5]])
    row = pack([tree], leaves=True)
    assert row.ids.tolist() == [1, 2, 3, 10, 11, 12, 4, 5]
    assert row.positions.tolist() == [0, 1, 2, 3, 4, 4, 2, 3]
    assert row.leave.tolist() == [8, 8, 6, 6, 5, 6, 8, 8]


def test_leaves_stay_out_of_a_row_and_nothing_else_does():
    tree, _ = grow([1, 2], [[3, 10, 11], [3, 10, 12], [4, 5]])
    row = pack([tree])
    assert row.ids.tolist() == [1, 2, 3, 10, 4]
    assert sorted(node for node, place in enumerate(row.row[0]) if place < 0) == [4, 5, 7]


@given(TRUNK, BRANCHES)
def test_packed_length_is_the_number_of_distinct_prefixes(trunk, branches):
    tree, _ = grow(trunk, branches)
    prefixes = {tuple(trunk[: i + 1]) for i in range(len(trunk))}
    prefixes |= {tuple(trunk + b[: i + 1]) for b in branches for i in range(len(b))}
    assert len(tree) == len(pack([tree], leaves=True).ids) == len(prefixes)


@given(TRUNK, BRANCHES, st.integers(0, 5))
def test_the_mask_shows_each_token_its_ancestors_and_itself(trunk, branches, start):
    trees = [grow(trunk, branches)[0], grow(trunk[::-1], branches[::-1])[0]]
    row = pack(trees, start=start, leaves=True)
    seen = row.mask(torch.float32, prefix=start)[0, 0] == 0
    assert seen[:, :start].all()
    for which, tree in enumerate(trees):
        for node in range(len(tree)):
            ancestors = {start + row.row[which][n] for n in tree.path(node)}
            assert set(torch.nonzero(seen[row.row[which][node]]).flatten().tolist()) == ancestors | set(range(start))
            assert int(row.positions[row.row[which][node]]) == start + len(tree.path(node)) - 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TRUNK, BRANCHES)
def test_leaf_logprobs_equal_those_of_the_plain_sequence(frozen, trunk, branches):
    tree, spans = grow(trunk, branches)
    other, other_spans = grow([*trunk[::-1], 7], branches)
    wanted, other_wanted = sorted({n for s in spans for n in s}), sorted({n for s in other_spans for n in s})
    with torch.no_grad():
        found = frozen.logprobs([tree, other], [wanted, other_wanted]).tolist()
        expected = [plain(frozen, tree, n) for n in wanted] + [plain(frozen, other, n) for n in other_wanted]
    assert found == pytest.approx(expected, abs=1e-5)


def test_loss_and_gradients_of_one_row_equal_those_of_separate_rows():
    backbone = make_learnable()
    tree, spans = grow([3, 1, 4, 1, 5], [[9, 2, 6], [5, 3, 5], [9, 7]])
    weights = list(backbone.trainable().values())
    together = backbone.logprobs([tree], [sorted({n for s in spans for n in s})]).sum()
    joint = torch.autograd.grad(together, weights)
    apart, separate = 0.0, [torch.zeros_like(w) for w in weights]
    seen: set[int] = set()
    for span in spans:  # a node that two branches share is counted once, as it stands once in the row
        new = [n for n in span if n not in seen]
        seen.update(new)
        ids = [tree.tokens[n] for n in tree.path(span[-1])]
        lp = torch.log_softmax(backbone.plain_logits(ids[:-1]), -1)
        loss = sum(lp[len(tree.path(n)) - 2, tree.tokens[n]] for n in new)
        apart += float(loss)
        separate = [a + g for a, g in zip(separate, torch.autograd.grad(loss, weights), strict=True)]
    assert float(together) == pytest.approx(apart, abs=1e-5)
    for a, b in zip(joint, separate, strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_changing_one_branch_leaves_the_others_bit_identical(frozen):
    def values(branch: list[int]) -> torch.Tensor:
        tree, spans = grow([3, 1, 4, 1, 5], [branch, [5, 3, 5], [9, 7, 9]])
        with torch.no_grad():
            return frozen.logprobs([tree], [spans[1] + spans[2]])

    assert torch.equal(values([8, 2, 6]), values([7, 11, 12]))


def test_changing_one_packed_episode_leaves_the_other_bit_identical(frozen):
    def values(other: list[int]) -> torch.Tensor:
        tree, spans = grow([3, 1, 4, 1, 5], [[5, 3, 5], [9, 7, 9]])
        neighbour, _ = grow(other, [[1, 2, 3]])
        with torch.no_grad():
            return frozen.logprobs([neighbour, tree], [[], spans[0] + spans[1]])

    assert torch.equal(values([2, 7, 1, 8]), values([6, 6, 6, 6]))


def _tiny_models():
    from transformers import (
        GPT2Config,
        GPT2LMHeadModel,
        MambaConfig,
        MambaForCausalLM,
        MistralConfig,
        MistralForCausalLM,
    )

    small = {"vocab_size": 257, "hidden_size": 32, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64}
    return {
        "gpt2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=257, n_embd=32, n_layer=2, n_head=4)),
        "mistral_window": lambda: MistralForCausalLM(MistralConfig(**small, **heads, sliding_window=4)),
        "mamba": lambda: MambaForCausalLM(MambaConfig(**small)),
    }


@pytest.mark.parametrize("family", ["gpt2", "mistral_window", "mamba"])
def test_every_model_family_scores_like_its_own_plain_forward(family):
    from conftest import tiny_config

    from metaicl.backbone import Backbone
    from metaicl.tiny import tiny_tokenizer

    torch.manual_seed(0)
    backbone = Backbone(_tiny_models()[family](), tiny_tokenizer(), tiny_config(weights="frozen"))
    tree, spans = grow([3, 1, 4, 1, 5, 9, 2, 6], [[5, 3, 5], [5, 8, 9, 7], [9, 3]])
    wanted = sorted({n for s in spans for n in s})
    with torch.no_grad():
        found = backbone.logprobs([tree], [wanted]).tolist()
        expected = [plain(backbone, tree, n) for n in wanted]
    assert found == pytest.approx(expected, abs=1e-4)
    assert (backbone.attention != "plain") is (family == "gpt2")
