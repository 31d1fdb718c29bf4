"""What the results say: the headline table and sentence, and the caveats."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pages import make, page_of

from eval.report.summary import duration, headline, rows
from eval.report.texts import table
from eval.results import Results
from eval.statistics import gain_interval, mean_interval


def test_gain_is_that_of_the_statistics(run):
    folder, results = run
    results = Results.from_json(results)
    own, base = (results.cells_of(m, 16) for m in ("metaicl", "icl"))
    gain = gain_interval(own, base)
    _, page = page_of(folder)
    ends = f"{gain.low:.1f}, {gain.high:.1f}"
    expected = (
        f"MetaICL <b> scores {gain.mean:.1f} [{ends}] points higher than In-context. Over 3 held-out tasks and 2 "
    )
    assert expected + "seeds, with k = 16 demonstrations on tiny-lm." in page.text
    assert f"+{gain.mean:.1f} [{ends}]" in page.text
    assert str(mean_interval(own)) in page.text
    assert f"+{gain}" in table(results)


def test_method_with_part_of_the_cells_is_compared_on_shared_cells(run):
    folder, results = run
    row = next(r for r in rows(Results.load(folder)) if r.method.name == "proto")
    assert row.gain.cells == 4 and row.gain.mean == pytest.approx(-5.0)
    assert row.remark == "gain on 4 shared cells (it has 4, the baseline 6)"
    assert row.remark in table(Results.from_json(results)) and row.remark in page_of(folder)[1].text


def test_method_of_interest_comes_first_and_the_baseline_second(run):
    assert [row.method.name for row in rows(Results.load(run[0]))] == ["metaicl", "icl", "proto"]


def test_difference_that_may_be_zero_is_not_called_a_gain(tmp_path):
    results = make(tmp_path)
    for cell in results["cells"]:
        cell["score"] = 0.5 + (0.1 if cell["method"] == "metaicl" and cell["task"] == "plain" else 0.0)
        cell["score"] -= 0.09 if cell["method"] == "metaicl" and cell["task"] == "third" else 0.0
    whole = Results.from_json(results)
    assert "cannot be told apart: the difference is +0.3 [" in headline(whole, rows(whole))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.25, "0.2 s"), (9.96, "10 s"), (59.6, "1 min 00 s"), (3600, "1 h 00 min"), (7260, "2 h 01 min")],
)
def test_durations_read_naturally(seconds, text):
    assert duration(seconds) == text


def test_a_score_below_chance_is_said_to_be(tmp_path):
    make(tmp_path)
    results = Results.load(tmp_path)
    low = replace(results, tasks=tuple(replace(task, chance=0.9) for task in results.tasks))
    assert "Guessing scores 90.0 on these tasks, which is more than" in headline(low, rows(low))
    assert "Guessing" not in headline(results, rows(results))
