"""The report's large figures: what they draw, and what no other beats."""

from __future__ import annotations

from eval.report.figures import critical_difference, pareto


def test_the_front_holds_what_no_other_beats_in_cost_and_score():
    points = [(1.0, 10.0), (2.0, 9.0), (3.0, 30.0), (3.0, 20.0), (0.5, 5.0)]
    assert pareto(points) == [4, 0, 2]


def test_the_diagram_names_each_method_and_draws_each_group():
    means = {"a": 1.5, "b <i>": 2.0, "c": 2.5}
    svg = critical_difference(means, [["a", "b <i>"], ["b <i>", "c"]], 1.2, "Ranks")
    assert all(name in svg for name in ("a 1.5", "b &lt;i&gt; 2.0", "c 2.5", "critical difference 1.20"))
    assert svg.count("var(--series-0)") == 2
