"""The parts of a tree's attention show each row what the dense mask shows it, once."""

from __future__ import annotations

from unittest.mock import patch

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from trees import forests, packed_cases

from examples import examples
from metaicl.lm.attention import plan as plan_module
from metaicl.lm.attention.plan import Bundles, Span, TreePlan, plan
from metaicl.lm.prompt_tree import pack

NAMES = ("FILL", "LARGEST", "CHAIN", "BLOCK")
LITTLE = {"FILL": 3, "LARGEST": 6, "CHAIN": 4, "BLOCK": 5}  # little trees meet all of these
SIZES = [{name: getattr(plan_module, name) for name in NAMES}, LITTLE]
PREFIX = 70


def none_seen(tree: TreePlan) -> tuple[Tensor, Tensor]:
    length = len(tree.subtree_end)
    return torch.zeros(length, dtype=torch.int), torch.zeros(length, tree.prefix + length, dtype=torch.int)


def seen_in_blocks(tree: TreePlan) -> tuple[Tensor, Tensor]:
    """As `seen`, of the blocks of the forward pass."""
    own, keys = none_seen(tree)
    for alike in tree.blocks:
        assert len({(block.first, block.last) for block in alike}) == 1
        for block in alike:
            own[block.start : block.stop] += 1
            keys[block.start : block.stop, block.first : block.last] += 1
            keys[block.start : block.stop, block.rest] += (block.mask[:, 0] == 0).int()
    return own, keys


def seen(tree: TreePlan) -> tuple[Tensor, Tensor]:
    """How often each row `[length]` is in an own part, and sees each key `[length, prefix + length]`."""
    own, keys = none_seen(tree)
    for part in (*tree.own, *tree.above):
        if isinstance(part, Span):
            block = torch.ones(part.stop - part.start, part.last - part.first, dtype=torch.int)
            keys[part.start : part.stop, part.first : part.last] += block.tril() if part.causal else block
            own[part.start : part.stop] += int(part.causal)
            assert not part.causal or len(block) == block.shape[1]
        else:
            for rows, mine, sees in zip(part.rows, part.own, part.sees, strict=True):
                own.index_put_((rows[mine],), torch.tensor(1, dtype=torch.int), accumulate=True)
                pairs = torch.nonzero(sees & mine[:, None])
                at = (rows[pairs[:, 0]], tree.prefix + rows[pairs[:, 1]])
                keys.index_put_(at, torch.tensor(1, dtype=torch.int), accumulate=True)
    return own, keys


@examples(60)
@given(forests(), st.sampled_from([0, 1, PREFIX]), st.booleans(), st.sampled_from(SIZES))
def test_the_parts_show_each_row_what_the_mask_shows_it_exactly_once(forest, prefix, leaves, sizes):
    row = pack(forest, start=prefix, leaves=leaves)
    with patch.multiple(plan_module, **sizes):
        tree = plan(row.subtree_end, prefix)
        for own, keys in (seen(tree), seen_in_blocks(tree)):
            assert (own == 1).all()
            assert torch.equal(keys, (row.mask(torch.float32, prefix)[0, 0] == 0).int())


def test_the_cases_meet_every_kind_of_part():
    """What the tests below are worth: chains cut in two, bundles of one subtree beyond FILL and of many, rows above."""
    plans = [plan(row.subtree_end, PREFIX) for row in packed_cases(PREFIX).values()]
    bundles = [b for p in plans for b in p.own if isinstance(b, Bundles)]
    assert any(b.rows.shape[1] > plan_module.FILL for b in bundles) and any(len(b.rows) > 2 for b in bundles)
    assert any(not b.own.all() for b in bundles)
    chains = [c for p in plans for c in p.own if isinstance(c, Span)]
    above = [a for p in plans for a in p.above]
    assert any(a.last == c.first and a.start == c.start and a.stop == c.stop for c in chains for a in above)
    groups = [g for p in (*plans, *(plan(row.subtree_end) for row in packed_cases(0).values())) for g in p.blocks]
    assert any(len(g) > 1 for g in groups) and any(g[0].first == g[0].last for g in groups)
    assert any(0 < g[0].first < g[0].last for g in groups)
    assert any(len(block.rest) > block.stop - block.start for g in groups for block in g)
    assert {len({len(b.rows) for b in p.own if isinstance(b, Bundles)}) for p in plans} >= {0, 1, 2}
