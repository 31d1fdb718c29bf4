"""The report says which methods differ, in numbers of the statistics, on the page and in Markdown."""

from __future__ import annotations

import numpy as np
import pytest
from pages import Page, make

from eval.cells import Cell
from eval.report.differences import found_differences
from eval.report.page import write_report
from eval.report.summary import Row, rows
from eval.report.texts import markdown
from eval.results import MethodResult, Results
from eval.statistics import compared, ranks


def row(name, scores, baseline=False):
    cells = [Cell(name, f"t{t}", s, 16, float(v)) for (t, s), v in np.ndenumerate(np.array(scores))]
    return Row(MethodResult(name, name.upper()), baseline, cells, None, None, None, "")


@pytest.fixture
def made():
    rng = np.random.default_rng(0)
    base = rng.uniform(0.3, 0.6, (8, 1)) + rng.normal(0, 0.02, (8, 3))
    return [row("best", base + 0.15), row("base", base, baseline=True), row("same", base + rng.normal(0, 1e-3, (8, 3)))]


def test_the_table_is_that_of_the_statistics(made):
    found = found_differences(made)
    cells = {row.method.name: row.cells for row in made}
    assert found.pairs == compared("best", cells) and found.ranks == ranks(cells)
    assert {line[0] for line in found.rows()} == {"BASE", "SAME"}
    for line in found.rows():
        assert line[1].startswith("+15.") and line[2] == "0.016" and line[3:] == ("100 %", "0 %", "0 %")


def test_notes_say_how_to_read_the_table_and_what_it_takes_to_see_more(made):
    notes = " ".join(found_differences(made).notes)
    assert "The p of 2 comparisons are corrected by Holm's method" in notes
    assert "Holm" not in " ".join(found_differences(made[:2]).notes)
    assert "On the 8 tasks that all 3 methods have, their ranks differ (Friedman's test, p " in notes
    assert "The variance of single scores of BEST is 9" in notes and "% between tasks, " in notes
    assert "To show a difference of 5 points between BEST and BASE with 80 % power takes 2 tasks like these" in notes


def test_one_method_differs_from_none(made):
    assert found_differences(made[:1]) is None
    assert found_differences([made[0], row("else", np.zeros((0, 1)))]) is None


def test_page_and_markdown_have_the_section(tmp_path):
    results = Results.from_json(make(tmp_path))
    text, page = markdown(results), Page(write_report(tmp_path).read_text("utf-8"))
    assert "## Which methods differ" in text and "| Compared with | Gain | p (Holm) |" in text
    lines = found_differences(rows(results)).rows()
    assert len(lines) == 2
    for line in lines:
        assert line[0] in page.text and all(cell.replace("-", "−") in page.text for cell in line[1:])
        assert line[0] in text and f"| {line[3]} | {line[4]} | {line[5]} |" in text
    assert "critical difference" in page.text and "a bar joins methods" in page.text
