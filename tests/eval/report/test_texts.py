"""The headline as text: aligned in the terminal, and Markdown whose cells hold whatever is in them."""

from __future__ import annotations

import re

import pytest
from pages import make

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


@pytest.mark.parametrize(
    ("tasks", "seeds", "said"),
    [
        (1, 1, "One task with one support set allows no interval, and no p below 1."),
        (1, 2, "With one task, interval and p are over seeds only"),
        (5, 2, "With 4 tasks the sign-flip test cannot give a p below 0.125 (2^(1 - tasks)), whatever the interval."),
    ],
)
def test_the_table_says_what_few_tasks_mean_for_interval_and_p(tmp_path, tasks, seeds, said):
    content = make(tmp_path, tasks=tuple(f"task {i}" for i in range(tasks)))
    content["cells"] = [cell for cell in content["cells"] if cell["seed"] < seeds]
    assert said in table(Results.from_json(content))


def test_the_table_of_many_tasks_says_nothing_of_few(tmp_path):
    assert "tasks the sign-flip" not in table(Results.from_json(make(tmp_path, tasks=tuple("abcdefg"))))
