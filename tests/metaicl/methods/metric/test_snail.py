"""SNAIL: causality of its blocks, label slots, and the length of its sequence."""

from __future__ import annotations

import pytest
import torch
from embedded import FORM, TAGGED, items, make, perturb
from toys import tag_task, toy_task

from metaicl.methods.in_context.items import class_balanced_subset, item_labels
from metaicl.methods.metric.snail import SNAIL, CausalAttention, TemporalBlock
from task_suites.core.errors import UserError
from task_suites.episodes import EpisodeSampler


@pytest.mark.parametrize("block", [CausalAttention(5, 4, 3), TemporalBlock(5, 16, 3)])
def test_no_block_lets_the_past_see_the_future(block):
    x = torch.randn(2, 16, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    before = block.double()(x)
    for t in (0, 7, 15):
        changed = x.clone()
        changed[:, t] += 1.0
        after = block(changed)
        assert torch.allclose(after[:, :t], before[:, :t], rtol=0, atol=1e-13)
        assert (after[:, t] - before[:, t]).abs().max() > 1e-3


@pytest.mark.parametrize("length", [2, 5, 16, 64])
def test_the_last_place_of_a_temporal_block_sees_every_place(length):
    block = TemporalBlock(3, length, 2).double()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, length, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(block(x)[0, -1].sum(), x)
    assert block.dilations[0] == 1 and (gradient[0].abs().sum(1) > 0).all()


def test_snail_reads_the_labels_and_the_label_slot_of_a_query_is_empty(frozen, width):
    method, (shots, labels, queries) = perturb(make("snail", frozen)), items(width=width)
    seen: list[torch.Tensor] = []
    method.blocks.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    first = method.logits(shots, labels, queries, 3)
    second = method.logits(shots, labels.roll(1), queries, 3)
    assert not torch.allclose(first, second)
    assert seen[0].shape == (4, 8, 8 + 4)
    assert (seen[0][:, -1, 8:] == 0).all() and (seen[0][:, :-1, 8:].sum(2) == 1).all()


def test_renumbered_classes_in_their_old_slots_have_exactly_the_logits_they_had(frozen, width):
    method, (shots, labels, queries) = perturb(make("snail", frozen)), items(width=width)
    new, slots = torch.tensor([2, 0, 1]), torch.tensor([3, 0, 2, 1])
    method.slot_order = slots
    before = method.logits(shots, labels, queries, 3)
    method.slot_order = slots.clone()
    method.slot_order[new] = slots[:3]
    assert torch.equal(method.logits(shots, new[labels], queries, 3)[:, new], before)
    assert not torch.allclose(method.logits(shots, labels, queries, 3), before)


def test_the_whole_stack_lets_no_place_see_a_later_one_and_each_one_see_all_before(frozen):
    method = perturb(make("snail", frozen))
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 8, 12, generator=generator, dtype=torch.float64)
    before = method.blocks(x)
    for t in range(8):
        changed = x.clone()
        changed[0, t] += 1.0
        apart = (method.blocks(changed) - before).abs().amax(2)
        assert not apart[0, :t].any() and not apart[1].any()
        assert (apart[0, t:] > 1e-6).all()


def test_slots_are_drawn_by_the_support_sets_name_and_are_the_same_every_time(frozen):
    method = SNAIL(frozen, FORM, SNAIL.Config(slots=8))
    orders = []
    for index in (0, 1, 0):
        e = EpisodeSampler(0, 4, 2).draw(toy_task(), "train", index)
        method.classify(e.support, method.embed(e.support), method.embed(e.queries), method.classes(e.support))
        orders.append(method.slot_order.tolist())
    assert orders[0] == orders[2] != orders[1] and sorted(orders[0]) == list(range(8))


def test_more_classes_than_slots_are_refused_before_any_work(frozen):
    method = SNAIL(frozen, FORM, SNAIL.Config(slots=2))
    assert method.refusal(toy_task()) is None
    assert "3 classes" in str(method.refusal(tag_task()))
    with pytest.raises(UserError, match="slots is 2"):
        method.adapt(TAGGED.task, TAGGED.support)


def test_a_support_set_longer_than_the_sequence_keeps_all_its_classes(frozen):
    method = SNAIL(frozen, FORM, SNAIL.Config(length=9))
    found = method.adapt(TAGGED.task, TAGGED.support).answers([q.hidden() for q in TAGGED.queries])
    assert all(len(a.text) == len(q.tokens or ()) for a, q in zip(found, TAGGED.queries, strict=True))
    kept = [item_labels(TAGGED.support)[i] for i in class_balanced_subset(TAGGED.support, method.most)]
    assert len(kept) == 8 and set(kept) == {"O", "B-FRUIT", "B-TOOL"}
