"""Runs in lines: where they are found, how each ended, and in what two of them differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaicl.cli.run_lines import compared, find, listed, shown
from metaicl.training.identity import Finished, RunRecord
from task_suites.core.errors import UserError


def write(folder: Path, finished: Finished | None = None, **identity: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    RunRecord({"max_steps": 9, "method": "metaicl", "model": "a/tiny", **identity}, {}, {}, {}, finished).write(folder)
    return folder


def test_runs_are_listed_by_name_with_their_end_and_nothing_inside_of_one_is_looked_at(tmp_path):
    write(tmp_path / "b", Finished(20, 10, 0.256, 61.0))
    write(tmp_path / "a" / "deep", Finished(1, 1, None, 2.0))
    write(tmp_path / "b" / "checkpoints" / "inside")
    write(tmp_path / "c")
    assert list(listed(tmp_path)) == [
        "run     what it was, and how it ended",
        "a/deep  training of metaicl on tiny, 1 step in 2 s",
        "b       training of metaicl on tiny, 20 steps in 61 s, validation 25.6 at step 10",
        "c       training of metaicl on tiny, not finished; the same command continues it",
    ]


def test_a_training_is_told_with_its_learning_rate_last_loss_and_validation(tmp_path):
    folder = write(tmp_path / "b", Finished(20, 10, 0.256, 61.0), learning_rate=0.001)
    (folder / "metrics.jsonl").write_text(
        '{"step": 10, "loss": 2.5}\n{"step": 20, "loss": 1.25}\n{"validation": 0.2}\n'
    )
    told = "20 steps in 61 s, learning rate 0.001, last loss 1.25, validation 25.6 at step 10"
    for lines in (listed(tmp_path), shown(folder), compared(folder, folder)):
        assert any(told in line for line in lines)


def test_a_folder_without_runs_and_a_run_that_is_not_there_are_named(tmp_path):
    with pytest.raises(UserError, match="the folder holds no runs"):
        list(listed(tmp_path))
    with pytest.raises(UserError, match=r"no run 'frist'.*The folder holds no runs"):
        find(tmp_path, "frist")
    write(tmp_path / "first")
    with pytest.raises(UserError, match=r"no run 'frist'.*Did you mean first"):
        find(tmp_path, "frist")


def test_a_run_is_found_by_its_name_or_by_its_path(tmp_path, monkeypatch):
    run = write(tmp_path / "runs" / "first")
    assert find(tmp_path / "runs", "first") == find(Path("nowhere"), str(run)) == run
    monkeypatch.chdir(tmp_path)
    assert find(Path("elsewhere"), "runs/first") == Path("runs/first")


def test_the_options_of_a_training_stand_in_columns(tmp_path):
    _, *lines = shown(write(tmp_path / "first", learning_rate=0.5))
    assert [line.split() for line in lines] == [
        ["max_steps", "9"],
        ["method", "metaicl"],
        ["model", "a/tiny"],
        ["learning_rate", "0.5"],
    ]
    assert {line.rindex(line.split()[1]) for line in lines} == {len("  learning_rate  ")}


def test_the_tasks_of_a_training_are_named_by_their_sides(tmp_path):
    sides = {"task.b": "meta_train 0af1", "task.c": "meta_test 12", "task.d": "meta_train 34"}
    *_, train, test = shown(write(tmp_path / "first", **sides))
    assert (train, test) == ("  meta_train, 2 tasks: b, d", "  meta_test, 1 task: c")


def test_two_trainings_differ_in_what_was_changed_and_in_nothing_else(tmp_path):
    one, other = write(tmp_path / "one", k=4, seed=1), write(tmp_path / "other", k=16, seed=1)
    assert list(compared(one, other))[2:] == ["  option  first  second", "  k       4      16"]
    assert "The same run" in list(compared(one, one))[-1]
    with pytest.raises(UserError, match="not a training"):
        list(compared(one, tmp_path))
