"""Names in a figure stand beside their dots and not on each other."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from eval.report.figures import Panel, pareto_panel
from eval.report.labels import POSITIONS, Box, boxed, placed
from examples import examples

ROOM = Box(0, 0, 300, 200)
SIZE = 8.0


def boxes(dots, names, lines=()):
    positions = placed(dots, names, lines, ROOM, SIZE)
    return [boxed(dot, position, name, SIZE) for dot, position, name in zip(dots, positions, names, strict=True)]


def test_a_name_alone_stands_to_the_right_of_its_dot():
    assert placed([(100, 100)], ["name"], [], ROOM, SIZE) == [POSITIONS[0]]


def test_names_of_dots_close_to_each_other_stand_apart():
    dots = [(250, 100), (258, 104), (262, 98)]  # as in a quickstart's page, where two lay on each other
    found = boxes(dots, ["Raw ICL, calibrated", "MetaICL", "MetaICL, released"])
    assert not any(one.meets(other) for one, other in combinations(found, 2))
    assert not any(box.holds(dot) for box in found for dot in dots)
    assert all(box.lies_in(ROOM) for box in found)


def test_a_name_leaves_a_line_and_a_dot_free():
    line = [(100 + i, 100 + i) for i in range(60)]
    (box,) = boxes([(100, 100)], ["a long name"], line)
    assert not any(map(box.holds, line))
    assert placed([(100, 100), (120, 108)], ["name"], [], ROOM, SIZE) != [POSITIONS[0]]


@examples(60)
@given(st.lists(st.tuples(st.floats(60, 240), st.floats(40, 160)), min_size=2, max_size=4))
def test_a_few_short_names_never_lie_on_each_other(dots):
    found = boxes(dots, ["method"] * len(dots))
    assert not any(one.meets(other) for one, other in combinations(found, 2))


def test_the_figure_of_quality_against_cost_names_each_method():
    points = [(0.9, 24.5, "Raw ICL"), (4.7, 45.0, "Raw ICL, calibrated"), (5.9, 47.5, "MetaICL <b>")]
    svg = pareto_panel(Panel("", points, [1, 2]), "seconds", "Quality against cost")
    assert all(svg.count(name) == 1 for name in ("Raw ICL<", "Raw ICL, calibrated", "MetaICL &lt;b&gt;"))
