"""An evaluation by two processes: each cell is answered once, and the results are those of one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eval.cells import Refusal
from eval.processes import Processes, check_each_once, take_over
from eval.store import cell_store
from task_suites.core.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
TIMES = ("created", "seconds", "adapt_seconds", "eval_seconds")
COMMAND = [
    *("evaluate", "--methods", "random", "icl", "knn", "--suite", "embedded", "--max_words", "12"),
    *("--tasks", "travel_ride", "sports_news", "railway_mood", "--k", "2", "4", "--seeds", "2", "--queries", "4"),
    *("--model", "tiny-random", "--dtype", "float32", "--device", "cpu", "--no-progress", "--output_dir", "out"),
]


def cell(number: int) -> Refusal:
    return Refusal("icl", f"task{number}", 0, 4, "no reason", by_design=False, key=f"key{number}")


def test_the_cells_are_dealt_out_once_each():
    keys = [f"key{i}" for i in range(7)]
    shares = [Processes(rank, 3).share([*keys, "key0"]) for rank in range(3)]
    assert sorted(key for share in shares for key in share) == keys
    assert [len(share) for share in shares] == [3, 2, 2]


def test_what_killed_processes_have_answered_is_taken_over(tmp_path):
    path = tmp_path / "cells.jsonl"
    for rank in range(3):
        Processes(rank, 3).store(path).add(cell(rank))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cells.jsonl", "cells.rank-1.jsonl", "cells.rank-2.jsonl"]
    take_over(path)
    assert [c.key for c in cell_store(path).all()] == ["key0", "key1", "key2"]
    assert [p.name for p in tmp_path.iterdir()] == ["cells.jsonl"]


def test_a_cell_that_two_processes_have_answered_is_refused(tmp_path):
    path = tmp_path / "cells.jsonl"
    for rank in (1, 2):
        Processes(rank, 3).store(path).add(cell(0))
    with pytest.raises(UserError, match=r"two processes have answered one cell.*rank-2"):
        take_over(path)
    (tmp_path / "cells.rank-2.jsonl").unlink()
    with pytest.raises(UserError, match=r"two processes have answered one cell.*rank-1"):
        take_over(path, own={"key0"})


def test_a_cell_that_no_process_has_answered_is_refused(tmp_path):
    store = cell_store(tmp_path / "cells.jsonl")
    store.add(cell(0))
    check_each_once(["key0"], store)
    with pytest.raises(UserError, match="no process has answered 1 cell"):
        check_each_once(["key0", "key1"], store)


def evaluated(folder: Path, processes: int) -> dict[str, Any]:
    """Return what `metaicl evaluate` leaves in a folder, without times."""
    folder.mkdir()
    launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node", str(processes), "-m"]
    words = [sys.executable, "-m", *(launcher if processes > 1 else []), "metaicl", *COMMAND]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    out = folder / "out"
    predictions = {p.name: p.read_text(encoding="utf-8") for p in sorted((out / "predictions").iterdir())}
    keys = [json.loads(line)["key"] for line in (out / "cells.jsonl").read_text(encoding="utf-8").splitlines()]
    results = json.loads((out / "results.json").read_text(encoding="utf-8"), object_hook=without_times)
    return {"results": json.dumps(results), "keys": keys, "predictions": predictions, "printed": done.stdout}


def without_times(value: dict[str, Any]) -> dict[str, Any]:
    return {name: item for name, item in value.items() if name not in TIMES}


@pytest.mark.slow
def test_two_processes_leave_the_results_of_one(tmp_path):
    one, two = evaluated(tmp_path / "one", 1), evaluated(tmp_path / "two", 2)
    assert one["results"] == two["results"]
    assert one["predictions"] == two["predictions"]
    assert sorted(one["keys"]) == sorted(two["keys"]) == sorted(set(two["keys"]))
    assert two["printed"].count("Report:") == 1
    assert not list((tmp_path / "two" / "out").glob("cells.rank-*"))
