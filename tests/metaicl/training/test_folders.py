"""A folder that is replaced is whole, old or new, at whatever moment the process is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from eval.benchmark import benchmark_run
from eval.config import BenchmarkRun, EvaluateRun, TuneRun
from eval.evaluate import evaluate_run
from eval.tune import tune_run
from metaicl.training import folders
from metaicl.training.config import TrainRun
from metaicl.training.folders import held, interrupted, recover, set_aside, whole_folder
from metaicl.training.run import train_run
from task_suites.core.errors import UserError

MOMENTS = 12  # more than a save has


def save(target: Path, text: str) -> None:
    with whole_folder(target) as scratch:
        for name in ("a", "b"):
            (scratch / name).write_text(text)


def content(target: Path) -> set[str]:
    return {(target / name).read_text() for name in ("a", "b")}


def killed_at(number: int, target: Path) -> bool:
    """Save in a child that is killed before its `number`th change of the file system; whether it lived that long."""
    child = os.fork()
    if child == 0:
        left = [number]

        def counted(change):
            def run(*given, **named):
                left[0] -= 1
                if left[0] < 0:
                    os._exit(9)
                return change(*given, **named)

            return run

        for owner, name in ((os, "rename"), (os, "mkdir"), (os, "unlink"), (os, "rmdir"), (os, "open")):
            setattr(owner, name, counted(getattr(owner, name)))
        for name in ("rename", "mkdir", "write_text"):
            setattr(Path, name, counted(getattr(Path, name)))
        folders.shutil.rmtree = counted(folders.shutil.rmtree)
        save(target, "new")
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("number", range(MOMENTS))
def test_a_save_that_is_killed_leaves_the_old_folder_or_the_new_one_whole(tmp_path, number):
    target = tmp_path / "best"
    save(target, "old")
    whole = killed_at(number, target)
    recover(target)
    assert content(target) in ({"old"}, {"new"})
    assert [p.name for p in tmp_path.iterdir()] == ["best"]
    assert content(target) == {"new"} or not whole
    save(target, "again")
    assert content(target) == {"again"}


def test_the_moment_without_a_folder_is_told_from_a_folder_that_never_was(tmp_path):
    target = tmp_path / "best"
    assert not interrupted(target)
    save(target, "old")
    target.rename(tmp_path / ".best.old")
    assert interrupted(target)
    recover(target)
    assert content(target) == {"old"} and not interrupted(target)


def test_a_folder_that_was_never_saved_stays_missing(tmp_path):
    recover(tmp_path / "best")
    assert not list(tmp_path.iterdir())


def test_folders_are_moved_aside_to_the_first_free_name(tmp_path):
    for number in (1, 2, 3):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "number").write_text(str(number))
        place = set_aside(tmp_path / "run")
        assert place == tmp_path / f"run.earlier-{number}" and (place / "number").read_text() == str(number)


@contextmanager
def another_process_in(folder: Path) -> Iterator[subprocess.Popen]:
    program = (
        "import sys, time, pathlib; from metaicl.training.folders import held\n"
        "with held(pathlib.Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_folder_that_another_process_writes_into_is_refused_and_one_that_was_killed_leaves_it_free(tmp_path):
    target = tmp_path / "runs" / "one"
    starts = {
        "train": lambda: train_run(TrainRun("one", str(target.parent / "one")), make_validate=None),
        "evaluate": lambda: evaluate_run(EvaluateRun("one", str(target.parent / "one"))),
        "tune": lambda: tune_run(TuneRun("one", str(target.parent / "one"))),
        "benchmark": lambda: benchmark_run(BenchmarkRun("one", str(target.parent / "one"))),
    }
    with another_process_in(target) as process:
        for start in starts.values():
            with pytest.raises(UserError, match=r"runs/one: another process .* Wait until it has ended, or choose"):
                start()
        with held(target.parent / "two"):  # the second way out
            pass
        process.kill()
        process.wait()
        with held(target):  # the first
            assert not target.exists()


def test_holding_a_folder_leaves_nothing_behind(tmp_path):
    target = tmp_path / "a" / "b" / "run"
    with held(target):
        pass
    assert not list(tmp_path.iterdir())
    with pytest.raises(ZeroDivisionError), held(target):
        target.mkdir()
        raise ZeroDivisionError
    assert list(target.parent.iterdir()) == [target]
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UserError, match="cannot be written"), held(tmp_path / "file" / "run"):
        pass
