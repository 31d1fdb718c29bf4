"""The figures of a run's page say in words what they show."""

from __future__ import annotations

from dataclasses import replace

from pages import make

from eval.report import charts
from eval.report.background import Training
from eval.report.summary import rows
from eval.results import Results


def test_cost_figure_names_the_methods_that_none_beats_in_both(tmp_path):
    results = Results.from_json(make(tmp_path))
    assert "is both better and quicker than: MetaICL &lt;b> " in charts.by_cost(rows(results))
    free = replace(results, cells=tuple(replace(c, seconds=0.0) for c in results.cells))
    assert charts.by_cost(rows(free)) is None


def test_small_multiples_have_a_panel_for_each_task(tmp_path):
    results = Results.from_json(make(tmp_path))
    panels = charts.by_k_and_task(results, rows(results))
    assert len(panels) == 3 and "plain: score at k = 4, 16: MetaICL" in panels[0]
    one = replace(results, cells=tuple(c for c in results.cells if c.k == 16))
    assert charts.by_k_and_task(one, rows(one)) == []


def test_only_a_training_that_logged_something_is_drawn_and_named():
    made = [Training(n, "m", [], [], "", "", curve) for n, curve in (("A", {}), ("B", {"loss": [[2, 1.5]]}))]
    assert [one.label for one in charts.with_curves(made)] == ["B"]
    (figure,) = charts.training_figures(made)
    assert "Training loss by step: B from 1.50 to 1.50." in figure
