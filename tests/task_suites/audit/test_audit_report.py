"""The report of an audit for people."""

from __future__ import annotations

from task_suites.audit.report import overlap_table, page, table, verdict, write_page
from task_suites.audit.run import AuditReport, Pair, SharedSource
from task_suites.example import Example
from task_suites.splits import Overlap, Split
from task_suites.task import Task, TaskSuite

TEXTS = {"train": ["one <b> fish", "two"], "test": ["one <i> fish", "three"]}
TASK = Task(
    "a",
    "classification",
    lambda part: [Example(text, "yes", ("yes", "no")) for text in TEXTS[part]],
    labels=("yes", "no"),
)
SUITE = TaskSuite("s", {"a": TASK}, {"meta_train": ("a",)})
LEAK = Pair("near", "train and test", ("a", "test", 0), ("a", "train", 0), 2 / 3)


def report(**fields: object) -> AuditReport:
    return AuditReport("s", 1, 4, **fields)  # type: ignore[arg-type]


def test_the_last_line_counts_what_leaks():
    assert verdict(report()) == "no leak"
    shared = SharedSource("set", {"meta_train": ["a"], "meta_test": ["b"]})
    assert verdict(report(pairs=[LEAK, LEAK], sources=[shared])) == "LEAKS: 2 leaking pairs, 1 source on two sides"


def test_a_table_shows_both_texts_of_a_leak():
    lines = table(report(pairs=[LEAK]), SUITE).splitlines()
    assert lines[0] == "s: 1 task, 4 examples" and lines[-1] == "LEAKS: 1 leaking pair"
    assert "  a/test[0]: one <i> fish" in lines and "  a/train[0]: one <b> fish" in lines


def test_a_page_escapes_the_texts_and_loads_nothing(tmp_path):
    html = page(report(pairs=[LEAK]), SUITE)
    assert "&lt;b&gt;" in html and "<b> fish" not in html
    assert "http://" not in html and "https://" not in html and "<script src" not in html
    write_page(report(), SUITE, tmp_path / "new" / "page.html")
    assert "No leak" in (tmp_path / "new" / "page.html").read_text(encoding="utf-8")


def test_overlaps_of_a_split_are_listed_with_their_sides():
    split = Split("mine", ("a",), (), ("b",))
    assert overlap_table(split, []).endswith("no task or source on two sides")
    shown = overlap_table(split, [Overlap("source", "set", {"meta_train": ("a",), "meta_test": ("b",)})])
    assert "source on two sides: set (meta_train: a; meta_test: b)" in shown and shown.endswith("LEAKS: 1")
