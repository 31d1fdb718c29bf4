"""The commands work in a folder whose own packages have the names of ours or of libraries."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
MINE = """
from metaicl.methods.baselines.chance import MajorityAnswer

class Mine(MajorityAnswer):
    pass
"""
SUITE = """
from toys import toy_suite
"""
EVALUATE = [
    *("evaluate", "--methods", "[random, mine.methods:Mine]", "--suite", "mine.suite:toy_suite"),
    *("--min_train", "1", "--min_test", "1", "--model", "tiny-random", "--no-progress"),
    *("--k", "2", "--seeds", "1", "--queries", "2"),
]


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with an `eval`, `tests`, `task_suites`, `datasets` and `metaicl` of its own, and a package `mine`."""
    for name in ("eval", "tests", "task_suites", "datasets", "evaluate", "mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("" if name == "mine" else "raise ImportError('the wrong one')")
    (tmp_path / "mine" / "methods.py").write_text(MINE)
    (tmp_path / "mine" / "suite.py").write_text(SUITE)
    (tmp_path / "metaicl").mkdir()  # notes, say: without an __init__.py it is not a package that python would prefer
    (tmp_path / "metaicl" / "notes.txt").write_text("mine")
    return tmp_path


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    environment = {**os.environ, "PYTHONPATH": path, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_the_module_runs_and_finds_what_is_the_users_own(folder):
    done = run(sys.executable, "-m", "metaicl", *EVALUATE, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "Mine" in done.stdout and (folder / "runs" / "comparison" / "report.html").is_file()


LAUNCHED = pytest.param(["-m", "accelerate.commands.launch", "--cpu", "-m", "metaicl"], marks=pytest.mark.slow)


@pytest.mark.parametrize("python", [["-m", "metaicl"], LAUNCHED])
def test_commands_answer_however_they_are_started(folder, python):
    (folder / "datasets").rename(folder / "kept")  # accelerate is started with -m here, and imports them itself
    (folder / "evaluate").rename(folder / "kept_too")
    done = run(sys.executable, *python, "suites", "list", cwd=folder)
    assert done.returncode == 0 and "meta_test" in done.stdout, done.stderr


def test_the_script_answers(folder):
    script = "import sys; sys.argv[0] = 'metaicl'; from metaicl.cli.main import main; main()"
    done = (
        run(sys.executable, "-P", "-c", script, "suites", "list", cwd=folder) if sys.version_info >= (3, 11) else None
    )
    assert done is None or (done.returncode == 0 and "meta_test" in done.stdout), done


def test_the_sources_own_folder_works_without_an_installation(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-m", "metaicl", "--version"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_package_called_metaicl_is_what_python_runs_and_it_says_so(folder):
    (folder / "metaicl" / "__init__.py").write_text("")
    done = run(sys.executable, "-m", "metaicl", "--version", cwd=folder)
    assert done.returncode != 0 and "metaicl.__main__" in done.stderr  # docs/training.md: use the script there


def test_a_working_folder_that_was_deleted_is_named(tmp_path):
    script = f'mkdir gone && cd gone && rmdir ../gone && exec "{sys.executable}" -m metaicl suites list'
    done = run("sh", "-c", script, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr == (
        "metaicl: the working folder was deleted; change into one that exists (cd)\n"
    )
