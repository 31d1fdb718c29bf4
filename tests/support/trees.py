"""Random and chosen forests for the tests of what a tree computes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from metaicl.lm.prompt_tree import Packed, PromptTree, pack

LENGTHS = [1, 2, 5, 40, 150, 300]  # around tree_attention's FILL, LARGEST and CHAIN
Shape = tuple[int, Sequence[Any]]  # (tokens of a segment, the shapes below it)


def plant(*shapes: Shape, seed: int = 0) -> PromptTree:
    """Return a tree of segments with random tokens below 250."""
    tree, rng = PromptTree(), random.Random(seed)

    def below(after: int, of: Sequence[Shape]) -> None:
        for i, (length, children) in enumerate(of):  # siblings begin with a token of their own
            nodes = tree.insert(after, [i, *(rng.randrange(250) for _ in range(length - 1))])
            below(nodes[-1], children)

    below(-1, shapes)
    return tree


@st.composite
def trees(draw: Any, lengths: Sequence[int] = LENGTHS, segments: int = 7) -> PromptTree:
    """Segments below the root, or below the last or the middle token of an earlier segment, with random tokens."""
    tree, rng = PromptTree(), random.Random(draw(st.integers(0, 1 << 20)))
    places = [-1]
    for _ in range(draw(st.integers(1, segments))):
        length = draw(st.sampled_from(lengths))
        after = draw(st.sampled_from(places))
        nodes = tree.insert(after, [rng.randrange(250) for _ in range(length)])
        places += [nodes[-1], nodes[length // 2]]
    return tree


def forests(lengths: Sequence[int] = LENGTHS, segments: int = 7) -> st.SearchStrategy[list[PromptTree]]:
    return st.lists(trees(lengths, segments), min_size=1, max_size=3).filter(lambda f: len(pack(f).ids) > 0)


_SMALL: list[Shape] = [(40, [(5, []), (5, []), (40, [])]), (5, [(40, []), (40, [(5, [])])])]  # 90 tokens each
_MANY: list[Shape] = [(n, []) for n in (1, 2, 5, 40) * 8]
_FORESTS: dict[str, list[list[Shape]]] = {
    "chain": [[(300, [])]],
    "subtrees": [[(40, [*_SMALL, *_MANY, *_SMALL])]],
    "trunk": [[(300, [*_MANY, (300, [(5, []), (40, [])]), *_SMALL])]],
    "forest": [[(150, _MANY)], [(300, [(1, []), (2, [])])], [(5, _SMALL)], [(2, [])], [(150, _SMALL)]],
    "nested": [[(150, [(150, [(150, [(5, []), (2, [])]), (40, [])]), (5, [])])]],
    "little": [[(5, [(2, [(1, []), (2, [])]), (1, []), (5, [])])], [(2, [(1, []), (1, [])])]],
}
CASES = list(_FORESTS)


def packed_cases(prefix: int) -> dict[str, Packed]:
    """Rows after a prefix of this many tokens, by name."""
    return {
        name: pack([plant(*shapes, seed=i) for i, shapes in enumerate(forest)], start=prefix, leaves=True)
        for name, forest in _FORESTS.items()
    }
