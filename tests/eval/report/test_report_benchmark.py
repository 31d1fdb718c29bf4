"""The benchmark as a page and as Markdown: what stands in a cell, which is the best, and what is said to be empty."""

from __future__ import annotations

import json

import pytest

from eval.benchmark_results import ENTRIES, RESULTS, BenchmarkResults, Entry, RefusedEntry, entry_store
from eval.report.benchmark import write_benchmark
from task_suites.core.errors import UserError

PROTOCOL = {"k": [1, 4], "queries": 10}


def entry(method: str, task: str, k: int, score: float, **more) -> Entry:
    times = {"adapt_seconds": 2.0, "query_seconds": 0.05, **more}
    return Entry(method, task, k, score, score - 5, score + 5, 1, f"{method}/{task}/{k}", **times)


def page(folder, *entries, methods=("random", "icl", "knn")) -> str:
    """Write a benchmark of these entries; return its Markdown."""
    tasks = {"fruit": ["a"], "tools": ["b"]}
    results = BenchmarkResults("made", "now", "metaicl benchmark", {}, PROTOCOL, tasks, 60.0, methods, entries)
    store = entry_store(folder / ENTRIES)
    for one in entries:
        store.add(one)
    (folder / RESULTS).write_text(json.dumps(results.to_json()))
    assert write_benchmark(folder) == folder / "benchmark.html"
    return (folder / "benchmark.md").read_text()


def row(said: str, heading: str, label: str) -> list[str]:
    """Return the cells of the first row with a label below a heading."""
    lines = said[said.index(f"## {heading}") :].splitlines()
    line = next(line for line in lines if label in line)
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_an_entry_has_its_interval_and_an_empty_one_says_whether_the_task_is_served(tmp_path):
    refused = [RefusedEntry("knn", "b", k, "no such tasks", f"knn/b/{k}") for k in (1, 4)]
    said = page(tmp_path, entry("icl", "a", 4, 61.25, train_seconds=90.0), *refused)
    assert row(said, "k = 4", "| Raw ICL |") == ["61.2 [56.2, 66.2]", "·", "1 min 30 s"]
    assert row(said, "k = 4", "| Nearest") == ["·", "not served", "-"]
    assert row(said, "k = 1", "| Raw ICL |")[0] == "·"
    assert said.index("## k = 4") < said.index("## k = 1")
    assert "1 of 10 entries" in (tmp_path / "benchmark.html").read_text()  # of 12, two are not served


def test_the_highest_score_of_each_task_is_named_and_times_stand_below(tmp_path):
    said = page(tmp_path, entry("icl", "a", 4, 40), entry("random", "a", 4, 50), entry("icl", "b", 4, 30))
    assert "Highest score at k = 4 so far. a: Random (50); b: Raw ICL (30)." in said
    shown = (tmp_path / "benchmark.html").read_text()
    assert "2.0 s + 50 ms" in shown
    assert (tmp_path / "benchmark-a.svg").is_file() and (tmp_path / "benchmark-b.svg").is_file()


def test_calibration_has_a_table_of_the_tasks_with_probabilities_and_none_without(tmp_path):
    (tmp_path / "one").mkdir(), (tmp_path / "other").mkdir()
    said = page(tmp_path / "one", entry("icl", "a", 4, 40, brier=0.5, ece=0.125), entry("icl", "b", 4, 40))
    assert row(said, "Calibration at k = 4", "| Raw ICL |")[0] == "0.50 0.12"
    assert "| Method | a | Meta-training |" in said
    assert "Calibration" not in page(tmp_path / "other", entry("icl", "a", 4, 40))


def test_seconds_of_several_machines_are_not_compared(tmp_path):
    (tmp_path / "one").mkdir(), (tmp_path / "two").mkdir()
    same = [entry("icl", "a", 4, 40, machine="x"), entry("icl", "b", 4, 40, machine="x")]
    assert "cannot be compared" not in page(tmp_path / "one", *same)
    said = page(tmp_path / "two", same[0], entry("icl", "b", 4, 40, machine="y"))
    assert "Seconds are of several machines and cannot be compared: x; y." in said


def test_a_folder_without_a_benchmark_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is no benchmark here"):
        write_benchmark(tmp_path)
