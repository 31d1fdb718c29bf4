"""The report's small figures: what is drawn stands where its numbers say."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from eval.calibration import Bin
from eval.report.panels import Path, Spread, curves, k_panel, reliability_panel, spread_strip


def texts(figure: str) -> list[str]:
    root = ElementTree.fromstring(figure.replace("xlink:href", "href"))
    return ["".join(element.itertext()).strip() for element in root.iter() if element.tag == "text"]


def line(figure: str, series: int) -> list[list[float]]:
    """The corners of the line of a series."""
    (path,) = [
        d for d, style in re.findall(r'<path d="([^"]*)"[^>]*style="([^"]*)"', figure)
        if f"var(--series-{series})" in style and "fill: none" in style
    ]  # fmt: skip
    return [[float(n) for n in point.split()] for point in re.split("[ML]", path)[1:]]


def test_numbers_of_demonstrations_stand_at_even_distances_whatever_they_are():
    figure = k_panel([Path(0, [1, 4, 16], [10, 20, 40])], [1, 4, 16], 50.0, "a task", "A title.")
    assert {"1", "4", "16", "a task"} <= set(texts(figure))
    (x0, y0), (x1, y1), (x2, y2) = line(figure, 0)
    assert x1 - x0 == pytest.approx(x2 - x1, rel=1e-3)
    assert y1 - y2 == pytest.approx(2 * (y0 - y1), rel=1e-3)  # down the page is larger


def test_a_method_that_has_not_all_k_stands_above_its_own():
    both = [Path(0, [1, 4, 16], [10, 20, 40]), Path(1, [4], [30])]
    figure = k_panel(both, [1, 4, 16], None, "t", "A title.")
    assert "var(--series-1)" in figure
    assert k_panel(both[:1], [1, 4, 16], None, "t", "A title.").count("stroke-dasharray") == 0  # no line of chance
    assert k_panel(both[:1], [1, 4, 16], 50.0, "t", "A title.").count("stroke-dasharray") == 1


def test_a_reliability_curve_has_a_dot_for_each_bin_in_its_own_colour():
    bins = [Bin(0.2, 0.1, 0.5), Bin(0.8, 0.9, 0.5)]
    figure = reliability_panel(bins, 3, "a name that is longer than the panel is wide", "A title.")
    assert "a name that is longer than the pane…" in texts(figure)
    (x0, y0), (x1, y1) = line(figure, 3)
    assert x1 > x0 and y1 < y0
    assert figure.count("fill: var(--series-3)") == 2


@pytest.mark.parametrize("count", [1, 5])
def test_a_strip_names_each_method_once_and_in_order(count):
    spreads = [Spread(f"method {i}", [-1.0, 1.0], 1.0) for i in range(count)]
    assert [t for t in texts(spread_strip(spreads, "A title.")) if t.startswith("method")] == [s.label for s in spreads]


def test_a_smoothed_curve_stands_over_its_raw_values():
    raw, smooth = (curves([Path(0, [0, 1, 2], [3.0, 1.0, 2.0])], "loss", "A title.", by) for by in (False, True))
    assert len(line(raw, 0)) == 3
    assert smooth.count("var(--series-0)") == 2 and "loss" in texts(smooth)


def test_a_curve_of_one_step_is_a_dot():
    one, two = (curves([Path(0, x, y)], "loss", "A title.", True) for x, y in (([2], [1.5]), ([1, 2], [1.5, 1.5])))
    assert (one.count("<use"), two.count("<use")) == (1, 0)
