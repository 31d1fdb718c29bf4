"""The tree's arrays, and the equality that the module stands on: a leaf's log-probability is its plain sequence's."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from backbones import make_learnable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trees import forests, plant

from examples import examples
from metaicl.lm.prompt_tree import PromptTree, additive_mask, best_fit, pack

BRANCHES = st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=5), min_size=1, max_size=6)
TRUNK = st.lists(st.integers(1, 12), min_size=1, max_size=8)


def grow(trunk: list[int], branches: list[list[int]]) -> tuple[PromptTree, list[list[int]]]:
    tree = PromptTree()
    after = tree.insert(-1, trunk)[-1]
    return tree, [tree.insert(after, branch) for branch in branches]


def test_the_docstring_example_packs_as_drawn():
    tree, _ = grow([1, 2], [[3, 10, 11], [3, 10, 12], [4, 5]])
    row = pack([tree], leaves=True)
    assert row.ids.tolist() == [1, 2, 3, 10, 11, 12, 4, 5]
    assert row.positions.tolist() == [0, 1, 2, 3, 4, 4, 2, 3]
    assert row.subtree_end.tolist() == [8, 8, 6, 6, 5, 6, 8, 8]


def test_a_tree_shows_its_tokens_and_parents_and_not_its_index():
    assert repr(grow([1, 2], [[3]])[0]) == "PromptTree(tokens=[1, 2, 3], parent=[-1, 0, 1])"


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


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_mask_holds_nothing_and_the_least_number_of_its_dtype(dtype):
    found = additive_mask(torch.tensor([[True, False]]), dtype)
    assert found.dtype == dtype and found.tolist() == [[0.0, torch.finfo(dtype).min]]
    row = pack([grow([1], [[2], [3]])[0]], leaves=True)
    assert row.mask(dtype, prefix=2).dtype == dtype and row.mask(dtype).shape == (1, 1, 3, 3)


@given(TRUNK, BRANCHES, st.integers(0, 5))
def test_the_depth_of_a_row_is_the_length_of_its_longest_sequence(trunk, branches, start):
    tree, _ = grow(trunk, branches)
    longest = start + max(len(tree.path(node)) for node in range(len(tree)))
    assert pack([tree], start=start).depth == (longest if len(tree) > 1 else 1)


def test_arrays_of_a_row_are_whole_numbers_even_where_it_is_empty():
    for forest in ([], [PromptTree()], [grow([1, 2], [[3], [4]])[0]]):
        row = pack(forest)
        assert len(row.row) == len(forest) and len(row.ids) == len(row.positions) == len(row.subtree_end)
    assert {t.dtype for t in (row.ids, row.positions, row.subtree_end)} == {torch.int64}


SIZES = st.lists(st.integers(0, 30), max_size=12)


def best_fit_by_hand(sizes: list[int], budget: int) -> list[list[int]]:
    groups: list[list[int]] = []
    for size, negative in sorted(((size, -i) for i, size in enumerate(sizes)), reverse=True):
        rooms = [budget - sum(sizes[j] for j in group) for group in groups]
        fitting = [g for g, room in enumerate(rooms) if room >= size]
        if fitting:
            groups[min(fitting, key=lambda g: rooms[g])].append(-negative)
        else:
            groups.append([-negative])
    return groups


@given(SIZES, st.integers(1, 40))
def test_groups_are_those_of_best_fit_decreasing(sizes, budget):
    groups = best_fit(sizes, budget)
    assert sorted(i for group in groups for i in group) == list(range(len(sizes)))
    assert all(len(group) == 1 or sum(sizes[i] for i in group) <= budget for group in groups)
    assert groups == best_fit_by_hand(sizes, budget)


def test_a_group_is_filled_to_its_budget_and_what_is_larger_goes_alone():
    assert best_fit([3, 12, 7, 5, 2, 3], 10) == [[1], [2, 0], [3, 5, 4]]


def leaf_sums(backbone, forest: list[PromptTree]) -> tuple[list[float], list[float]]:
    """(by the row, by plain unpadded sequences) the log-probability of each path but its first token."""
    wanted = [[n for n, above in enumerate(tree.parent) if above >= 0] for tree in forest]
    rows, plain_ones = [], []
    with torch.no_grad():
        values = iter(backbone.logprobs(forest, wanted).tolist())
        for tree, nodes in zip(forest, wanted, strict=True):
            at = dict(zip(nodes, values, strict=False))
            for leaf in sorted(set(nodes) - set(tree.parent)):
                path = tree.path(leaf)
                ids = [tree.tokens[n] for n in path]
                lp = torch.log_softmax(backbone.plain_logits(ids[:-1]), -1)[range(len(ids) - 1), ids[1:]]
                rows.append([at[n] for n in path[1:]])
                plain_ones.append(lp.tolist())
    largest = max(abs(a - b) for r, p in zip(rows, plain_ones, strict=True) for a, b in zip(r, p, strict=True))
    assert largest < 1e-4
    return [sum(r) / len(r) for r in rows], [sum(p) / len(p) for p in plain_ones]


def ranking(scores: list[float]) -> list[int]:
    return sorted(range(len(scores)), key=lambda i: scores[i])


def check_leaves(backbone, forest: list[PromptTree]) -> None:
    found, expected = leaf_sums(backbone, forest)
    assert found == pytest.approx(expected, abs=1e-5)
    gaps = [b - a for a, b in pairwise(sorted(expected))]
    if min(gaps, default=1.0) > 2e-5:  # nearer ones are equal as far as float32 resolves
        assert ranking(found) == ranking(expected)


REUSED = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]}


@settings(examples(100), **REUSED)
@given(forests([1, 2, 5, 40, 150], segments=5))
def test_leaf_logprobs_and_ranking_equal_those_of_the_plain_sequence(frozen, forest):
    check_leaves(frozen, forest)


@pytest.mark.slow
@settings(max_examples=2000, **REUSED)
@given(forests())
def test_leaf_logprobs_and_ranking_equal_those_of_the_plain_sequence_on_2000_forests(frozen, forest):
    check_leaves(frozen, forest)


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


DEEP = (250, [*[(9, [])] * 12, (150, [(40, []), (5, [])]), (40, [(30, []), (50, [])]), (9, [])])


def all_logprobs(backbone, forest: list[PromptTree]) -> torch.Tensor:
    return backbone.logprobs(forest, [range(1, len(tree)) for tree in forest])


@pytest.mark.parametrize("attention", ["tree", "dense"])
def test_other_tokens_in_one_branch_or_episode_leave_the_rest_of_a_large_row_bit_identical(attention):
    backbone, forest = make_learnable(attn_implementation=attention), [plant(DEEP), plant(DEEP, seed=1)]
    with torch.no_grad():
        before = all_logprobs(backbone, forest)
        for which, node in ((0, 253), (0, 400), (1, 0), (1, 560)):
            old = forest[which]
            below = torch.tensor([node in old.path(n) for n in range(len(old))])
            tokens = [(t + 1) % 250 if b else t for t, b in zip(old.tokens, below.tolist(), strict=True)]
            changed = [PromptTree(tokens, old.parent) if i == which else tree for i, tree in enumerate(forest)]
            same = torch.cat(
                [~below[1:] if i == which else torch.ones(len(t) - 1).bool() for i, t in enumerate(forest)]
            )
            after = all_logprobs(backbone, changed)
            assert torch.equal(before[same], after[same]) and not torch.equal(before[~same], after[~same])


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "checkpointed"])
@pytest.mark.parametrize("attention", ["tree", "dense"])
def test_loss_and_gradients_of_a_large_row_equal_those_of_separate_sequences(attention, checkpointing):
    backbone = make_learnable(attn_implementation=attention, gradient_checkpointing=checkpointing)
    forest, weights = [plant(DEEP), plant((5, [(2, []), (1, [])]))], list(backbone.trainable().values())
    passes = []
    hook = backbone.model.get_base_model().model.layers[0].mlp.register_forward_pre_hook(lambda *_: passes.append(1))
    together = all_logprobs(backbone, forest).sum()
    joint = torch.autograd.grad(together, weights)
    hook.remove()
    assert len(passes) == 1 + checkpointing
    apart, separate = 0.0, [torch.zeros_like(w) for w in weights]
    for tree in forest:
        seen = {0}
        for leaf in sorted(set(range(len(tree))) - set(tree.parent)):
            path = tree.path(leaf)
            ids = [tree.tokens[n] for n in path]
            lp = torch.log_softmax(backbone.plain_logits(ids[:-1]), -1)[range(len(ids) - 1), ids[1:]]
            loss = lp[[n not in seen for n in path[1:]]].sum()
            seen.update(path)
            apart += float(loss)
            separate = [a + g for a, g in zip(separate, torch.autograd.grad(loss, weights), strict=True)]
    assert float(together) == pytest.approx(apart, rel=1e-6)
    for a, b in zip(joint, separate, strict=True):
        assert torch.allclose(a, b, atol=2e-5 * float(b.abs().max()))


@pytest.mark.parametrize("attention", ["tree", "dense"])
def test_gradient_checkpointing_changes_no_bit_of_loss_gradients_and_cached_states(attention):
    found = []
    for checkpointing in (False, True):
        backbone = make_learnable(attn_implementation=attention, gradient_checkpointing=checkpointing)
        loss = all_logprobs(backbone, [plant(DEEP)]).sum()
        grads = torch.autograd.grad(loss, list(backbone.trainable().values()))
        with torch.no_grad():
            states = backbone.prefix([3, 1, 4, 1, 5]).layers
        found.append([loss, *grads, *(t for layer in states for t in (layer.keys, layer.values))])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
