"""The headline as text: aligned in the terminal, and Markdown whose cells hold whatever is in them."""

from __future__ import annotations

import re

from eval.report.page import write_report
from eval.report.texts import markdown, table
from eval.results import Results


def test_markdown_keeps_strange_texts_inside_their_cells(run):
    results = run[1]
    results["methods"][1]["label"] = "a | b <script>"
    text = markdown(Results.from_json(results))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    borders = [len(re.findall(r"(?<!\\)\|", line)) for line in lines]
    assert borders == [8] * 5 + [7] * 4  # the methods, and which of them differ
    assert "<script" not in text.replace("\\<", "")
    write_report(run[0])
    assert (run[0] / "report.md").read_text("utf-8").startswith("# awkward \\& \\<i\\>small")


def test_terminal_table_is_aligned(run):
    lines = table(Results.from_json(run[1])).splitlines()
    assert lines[0].split() == ["method", "score", "gain", "p", "w/t/l", "training", "evaluation"]
    assert len({len(line) for line in lines[:5]}) == 1
    assert "1 min 15 s" in lines[2] and "1 h 06 min" in lines[2]
