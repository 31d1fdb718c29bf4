"""Names that hang together: their groups are those of the closure of the ties."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from task_suites.core.components import components

names = st.sampled_from("abcdefgh")


@examples(60)
@given(st.lists(st.tuples(names, names), max_size=8))
def test_the_least_name_is_that_of_all_that_can_be_reached(ties):
    reached = {name: {name} for tie in ties for name in tie}
    for _ in reached:
        for a, b in ties:
            reached[a] = reached[b] = reached[a] | reached[b]
        reached = {name: set().union(*(reached[other] for other in found)) for name, found in reached.items()}
    assert components(ties) == {name: min(found) for name, found in reached.items()}


def test_a_name_that_is_tied_to_itself_is_alone():
    assert components([("b", "b"), ("c", "a")]) == {"a": "a", "b": "b", "c": "a"} and components([]) == {}
