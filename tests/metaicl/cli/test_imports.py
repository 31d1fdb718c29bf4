"""A command imports the libraries that it needs, and no others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

TRAINING = ("peft", "tensorboard")
LARGE = ("datasets", "evaluate", "matplotlib", "sklearn", "optuna", "pandas", "pyarrow", "rensa", "bm25s")
CODE = """
import sys
from metaicl.cli.main import main
main({words!r})
print("loaded:", *[name for name in {names!r} if name in sys.modules])
"""


def loaded(names: tuple[str, ...], *words: str) -> list[str]:
    code = CODE.format(words=list(words), names=names)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()[1:]


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    rows = [{"input": f"item {i}", "output": "good" if i % 2 else "bad"} for i in range(4)]
    for name in ("demos", "inputs"):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ["--demos", str(tmp_path / "demos"), "--inputs", str(tmp_path / "inputs")]


def test_predict_by_a_plain_model_imports_no_library_of_training_or_evaluation(files):
    assert loaded((*TRAINING, *LARGE), "predict", "--model", "tiny-random", *files) == []


@pytest.mark.slow
def test_training_imports_no_library_of_evaluation(tmp_path):
    words = [
        "--model",
        "tiny-random",
        "--max_steps",
        "1",
        "--no-progress",
        "--output_dir",
        str(tmp_path / "run"),
    ]
    names = ["--tasks", '["farm_alive", "farm_deal"]']
    assert loaded(LARGE, "train", *words, *names) == []
