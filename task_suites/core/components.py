"""Names that hang together, directly or by way of others."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def components(ties: Iterable[tuple[str, str]]) -> dict[str, str]:
    """For each name of a tie, the least of all names that it is tied to, itself among them.

    Two names with one value are connected; a tie of a name with itself is one of a single name.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = list(ties)
    names = sorted({name for pair in pairs for name in pair})
    if not names:
        return {}
    number = {name: i for i, name in enumerate(names)}
    ends = np.array([[number[name] for name in pair] for pair in pairs])
    graph = coo_array((np.ones(len(pairs)), (ends[:, 0], ends[:, 1])), shape=(len(names), len(names)))
    _, group = connected_components(graph, directed=False)
    _, least = np.unique(group, return_index=True)  # names are sorted, so that the first of a group is its least
    return {name: names[least[group[i]]] for i, name in enumerate(names)}
