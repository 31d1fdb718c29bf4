"""How figures are drawn: SVG without colours of its own, texts that stay texts, labels that stay apart."""

from __future__ import annotations

import math
from itertools import pairwise
from xml.etree import ElementTree

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from eval.report.drawing import INK, SERIES, STYLE, colour, short, smoothed, spread, standalone, svg

values = st.floats(-100, 100)


def drawn(title: str, label: str = "x") -> str:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2, 2))
        axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
        for series in range(SERIES):
            axes.plot([0, 1], [0, series], color=colour(series))
        axes.text(0, 0, label, color=INK)
        return svg(figure, title)


def test_a_figure_is_one_element_whose_colours_are_variables_of_the_style_sheet():
    text = drawn('a "title" <with> & marks', "$x$ <b>")
    root = ElementTree.fromstring(text.replace("xlink:href", "href"))
    assert root.get("aria-label") == 'a "title" <with> & marks' and root.get("role") == "img"
    assert all(f"var(--series-{series})" in text for series in range(SERIES)) and "var(--ink)" in text
    assert not any(stand_in in text for stand_in in (INK, "#020202", "#f1000"))
    assert "$x$ &lt;b&gt;" in text and "font-family" not in text and "<style" not in text


def test_a_figure_is_the_same_each_time_and_its_ids_are_its_titles_own():
    assert drawn("one") == drawn("one")
    ids = [set(ElementTree.fromstring(drawn(t).replace("xlink:href", "href")).iterfind(".//*[@id]")) for t in "ab"]
    names = [{element.get("id") for element in of} for of in ids]
    assert names[0] and not names[0] & names[1]


def test_a_figure_as_a_file_of_its_own_has_its_names_and_its_colours():
    root = ElementTree.fromstring(standalone(drawn("one"), ":root { --ink: #123456; }"))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "--ink: #123456" in root[0].text


@given(st.lists(values, min_size=1, max_size=60))
def test_a_running_average_lies_within_what_it_has_seen_and_begins_at_the_first_value(of):
    found = smoothed(of)
    assert found[0] == pytest.approx(of[0])
    for i, value in enumerate(found):
        assert min(of[: i + 1]) - 1e-9 <= value <= max(of[: i + 1]) + 1e-9


def test_a_value_that_is_none_changes_no_average():
    assert smoothed([2.0, math.nan, math.inf, 2.0]) == pytest.approx([2.0] * 4)
    assert math.isnan(smoothed([math.nan, 1.0])[0])


@given(st.dictionaries(st.integers(0, 6), values, min_size=1, max_size=4), st.floats(0.1, 5))
def test_labels_keep_their_order_and_their_mean_and_are_apart(places, least):
    found = spread(places, least)
    order = sorted(places, key=lambda s: places[s])
    heights = [found[s] for s in order]
    assert found.keys() == places.keys()
    assert sum(heights) == pytest.approx(sum(places.values()), abs=1e-6)
    assert all(b - a >= least * 0.98 for a, b in pairwise(heights))


def test_labels_that_are_apart_stay_where_they_are():
    assert spread({0: 5.0, 1: 1.0, 2: 9.0}, 2.0) == {0: 5.0, 1: 1.0, 2: 9.0}


@pytest.mark.parametrize(
    ("text", "most", "found"), [("a  b\nc", 9, "a b c"), ("abcd", 4, "abcd"), ("abcde", 4, "abc…"), ("", 4, "")]
)
def test_a_text_is_cut_with_a_mark_only_where_it_is_too_long(text, most, found):
    assert short(text, most) == found
