"""The index of a part of a task: what draws ask of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from task_suites.example import Example
from task_suites.parts import PartIndex, content_key

ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["x", "y", None])), min_size=1, max_size=9)


@given(ROWS)
def test_positions_by_output_and_by_content_are_those_of_a_plain_search(rows):
    examples = [Example(text.upper() if i % 2 else f" {text} ", output) for i, (text, output) in enumerate(rows)]
    part = PartIndex(examples)
    assert part.outputs == [output for _, output in rows]
    assert {o: list(at) for o, at in part.by_output.items()} == {
        o: [i for i, (_, other) in enumerate(rows) if other == o] for o in {output for _, output in rows}
    }
    wanted = ["a", "c", "not there"]
    assert part.find(wanted) == {i for i, (text, _) in enumerate(rows) if text in wanted}


def test_options_are_common_where_every_example_has_them_in_any_order():
    same = [Example("1", "a", ("a", "b")), Example("2", "b", ("b", "a"))]
    assert PartIndex(same).common_options == ("a", "b")
    assert PartIndex([*same, Example("3", "a", ("a", "c"))]).common_options == ()
    assert PartIndex([*same, Example("3", "a")]).common_options == ()


def test_a_content_s_key_has_64_bits_and_never_changes():
    assert content_key("mood") == 0xBE2F02DDFEF3A7EE  # stored suites hold it
    assert len({content_key(str(i)) for i in range(1000)}) == 1000
