"""`PromptTree`: prompts that share their beginnings, as one token trie, and the packing of tries into rows.

Words: a *node* is one token; its *path* is the sequence from the root to it; a *branch* is the path of one query and
one candidate answer. Two branches with the same first tokens share those nodes, so each distinct token prefix is
stored, and computed, once. For demonstration tokens `a b`, queries `c` and `d e`, and options `x y`, `x z` below `c`:

    a - b -+- c - x -+- y          row           a  b  c  x  y  z  d  e
           |         +- z          position      0  1  2  3  4  4  2  3
           +- d - e                subtree_end   8  8  6  6  5  6  8  8        (y, z and e are leaves)

A row lists nodes in pre-order. `subtree_end[k]` is the end (exclusive) of the rows below node k, so that node q sees
node k exactly when `k <= q < subtree_end[k]`: two comparisons, and no token-by-token matrix is stored. Several trees in
one row (a forest) do not see each other by the same rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from task_suites.core.errors import UserError


@dataclass
class PromptTree:
    """A growing token trie.

    Attributes:
        tokens: token id of each node, in the order of insertion.
        parent: node before it, -1 for a first token.
    """

    tokens: list[int] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    _child: dict[tuple[int, int], int] = field(default_factory=dict, repr=False)

    @classmethod
    def of_path(cls, ids: Sequence[int]) -> PromptTree:
        """Return a tree of one path."""
        tree = cls()
        tree.insert(-1, ids)
        return tree

    def insert(self, after: int, ids: Sequence[int]) -> list[int]:
        """Append `ids` below node `after` (-1: at the root) and return their nodes; existing nodes are used again."""
        nodes = []
        for token in ids:
            node = self._child.setdefault((after, token), len(self.tokens))
            if node == len(self.tokens):
                self.tokens.append(token)
                self.parent.append(after)
            nodes.append(node)
            after = node
        return nodes

    def __len__(self) -> int:
        return len(self.tokens)

    def path(self, node: int) -> list[int]:
        """Return the nodes from the root to `node`, which is included."""
        nodes = []
        while node >= 0:
            nodes.append(node)
            node = self.parent[node]
        return nodes[::-1]


def parents_of(tree: PromptTree, wanted: Sequence[int]) -> list[int]:
    """Return the node before each wanted one, given which the wanted one has a probability.

    Raises:
        UserError: a wanted node is the first of its path.
    """
    parents = [tree.parent[node] for node in wanted]
    if min(parents, default=0) < 0:
        raise UserError(
            "a scored token has nothing before it",
            fix="Give the prompt an instruction, demonstrations, or text before the answer.",
        )
    return parents


@dataclass(frozen=True)
class Packed:
    """Trees as one row.

    Attributes:
        ids: `[length]` token ids in pre-order.
        positions: `[length]` depth of each token below its root, counted on from the prefix where there is one.
        subtree_end: `[length]` end (exclusive, in row coordinates) of what lies below each token.
        row: for each tree, the position in the row of each of its nodes.
    """

    ids: Tensor
    positions: Tensor
    subtree_end: Tensor
    row: tuple[list[int], ...]

    @property
    def depth(self) -> int:
        """Tokens of the longest path, the prefix and a leaf that was left out included."""
        return int(self.positions.max()) + 2 if len(self.positions) else 1

    def mask(self, dtype: torch.dtype, prefix: int = 0) -> Tensor:
        """Return the additive attention mask `[1, 1, length, prefix + length]`: 0 where q sees k, the least number
        elsewhere.

        Additive because a boolean mask is silently added as 0 and 1 by transformers' eager attention. All rows see
        the whole prefix.
        """
        place = torch.arange(len(self.ids))
        q, k = place[:, None], place[None, :]
        sees = (k <= q) & (q < self.subtree_end[None, :])
        return additive_mask(torch.cat([torch.ones(len(place), prefix, dtype=torch.bool), sees], 1), dtype)[None, None]


def additive_mask(sees: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where `sees` (`[..., queries, keys]`, boolean) is true, the least number elsewhere."""
    return torch.zeros(sees.shape, dtype=dtype).masked_fill_(~sees, torch.finfo(dtype).min)


def pack(forest: Sequence[PromptTree], start: int = 0, leaves: bool = False) -> Packed:
    """Return the trees as one row.

    `start` is the length of a prefix that all of them continue. Without `leaves` the last token of each path stays
    out of the row (its position is -1): its log-probability is read off at its parent, and nothing after it is needed.
    """
    ids: list[int] = []
    positions: list[int] = []
    parents: list[int] = []  # index of the token before, -1 for a first token
    rows: list[list[int]] = []
    for tree in forest:
        children: list[list[int]] = [[] for _ in range(len(tree) + 1)]  # the last are those of the root, -1
        for node, above in enumerate(tree.parent):
            children[above].append(node)
        row = [-1] * (len(tree) + 1)
        stack = children[-1][::-1]
        while stack:
            node = stack.pop()
            below = children[node]
            if below or leaves:
                above = row[tree.parent[node]]
                row[node] = len(ids)
                ids.append(tree.tokens[node])
                positions.append(positions[above] + 1 if above >= 0 else start)
                parents.append(above)
                stack += below[::-1]
        rows.append(row[:-1])
    subtree_end = list(range(1, len(ids) + 1))
    for index in range(len(ids) - 1, -1, -1):  # what lies below a token comes before it here
        above = parents[index]
        if above >= 0 and subtree_end[above] < subtree_end[index]:
            subtree_end[above] = subtree_end[index]
    return Packed(torch.tensor(ids), torch.tensor(positions), torch.tensor(subtree_end), tuple(rows))


def best_fit(sizes: Sequence[int], budget: int) -> list[list[int]]:
    """Return indices in groups of at most `budget` in all, the largest first, each into the fullest group that has room
    (best fit decreasing). What is larger than the budget is a group of its own."""
    groups: list[list[int]] = []
    left: list[int] = []
    for i in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        room = [(left[g], g) for g in range(len(groups)) if left[g] >= sizes[i]]
        if room:
            group = min(room)[1]
            groups[group].append(i)
            left[group] -= sizes[i]
        else:
            groups.append([i])
            left.append(budget - sizes[i])
    return groups
