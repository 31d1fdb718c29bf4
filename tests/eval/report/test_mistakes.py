"""The wrong answers of the method of interest, by their margin."""

from __future__ import annotations

import json

from pages import make, page_of


def test_mistakes_are_ordered_by_margin_and_merged_over_seeds(run):
    _, page = page_of(run[0])
    assert "5 of its 6 answers at k = 16 are wrong" in page.text
    assert "third, under 2 seeds, margin 7.50" in page.text
    assert "✓ right" in page.text and "✗ also wrong" in page.text
    assert page.text.index("margin 7.50") < page.text.index("ragged")
    assert "at another k" not in page.text


def test_mistakes_where_the_baseline_was_right_have_a_list_of_their_own(tmp_path):
    make(tmp_path, predictions=False)
    (tmp_path / "predictions").mkdir()
    for method in ("icl", "metaicl"):
        lines = [
            {"method": method, "task": "plain", "seed": 0, "k": 16, "index": i, "input": f"item {i}"}
            | {"options": ["a", "b"], "scores": [-9.0 + i, 0.0], "truth": "a"}
            | {"answer": "a" if method == "icl" and i == 5 else "b"}
            for i in range(7)
        ]
        (tmp_path / "predictions" / f"{method}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    worst, regressions = page_of(tmp_path)[1].text.split("Wrong where In-context was right")
    assert "item 0" in worst and "item 5" not in worst and "item 5" in regressions
