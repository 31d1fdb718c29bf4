"""Several trainings of a method as one row of an evaluation, from the command line."""

from __future__ import annotations

import pytest
from toys import toy_suite

import metaicl
from task_suites.core.errors import UserError

TRAINING = {"model": "tiny-random", "max_steps": 1, "k": 2, "queries": 2, "progress": False, "dtype": "float32"}
EVALUATION = {"k": [2], "seeds": 2, "queries": 4, "progress": False, "dtype": "float32", "model": "tiny-random"}


def test_two_trainings_are_one_row_and_one_training_is_refused_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = [metaicl.train(toy_suite(), output_dir=f"runs/seed-{seed}", seed=seed, **TRAINING).folder for seed in (0, 1)]
    found = metaicl.evaluate(toy_suite(), methods=["icl", *runs], pool_runs=True, output_dir="runs/both", **EVALUATION)
    assert [method.name for method in found.methods] == ["icl", "seed-0"]
    assert {cell.run for cell in found.cells_of("seed-0")} == {"seed-0", "seed-1"}
    other = metaicl.train(toy_suite(), method="protonet", output_dir="runs/other", **TRAINING).folder
    with pytest.raises(UserError, match="no method has several trainings to put together"):
        metaicl.evaluate(toy_suite(), methods=[runs[0], other], pool_runs=True, output_dir="runs/none", k=[2])
    assert not (tmp_path / "runs/none/cells.jsonl").exists()
    with pytest.raises(UserError, match="several folders of runs"):
        metaicl.evaluate(toy_suite(), methods=["icl"], pool_runs=True, output_dir="runs/idle", **EVALUATION)
