"""The benchmark that ships with the project, and what is refused of a benchmark's files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from eval.benchmark_results import BenchmarkResults
from task_suites.core.errors import UserError

SHIPPED = Path(__file__).parents[2] / "results" / "benchmark"


def test_the_shipped_benchmark_is_read_and_written_as_it_is():
    whole, found = (
        json.loads((SHIPPED / "benchmark.json").read_text("utf-8")),
        BenchmarkResults.load(SHIPPED / "benchmark.json"),
    )
    assert found.to_json() == whole and len(found.scored) > 900


def test_an_entry_that_is_lost_is_named(tmp_path):
    shutil.copy(SHIPPED / "benchmark.json", tmp_path)
    lines = (SHIPPED / "benchmark.jsonl").read_text("utf-8").splitlines(keepends=True)
    key = json.loads((SHIPPED / "benchmark.json").read_text("utf-8"))["entries"][0]
    (tmp_path / "benchmark.jsonl").write_text("".join(line for line in lines if key not in line), encoding="utf-8")
    with pytest.raises(UserError, match=rf"1 of the benchmark's entries are not in benchmark\.jsonl; found {key}"):
        BenchmarkResults.load(tmp_path / "benchmark.json")
