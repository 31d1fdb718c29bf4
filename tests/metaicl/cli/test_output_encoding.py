"""What a command writes is UTF-8 under any locale: results are read back as such."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import make_folder, rows, write_task

LOCALES = [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]


@pytest.mark.parametrize("locale", LOCALES)
def test_a_command_writes_utf_8_under_any_locale(tmp_path, locale):
    folder = make_folder(tmp_path)
    text = "caffè 日本 😀"
    write_task(folder, "mood", train=[{**row, "input": f"{text} {row['input']}"} for row in rows("mood", "train")])
    command = [sys.executable, "-m", "metaicl", "suites", "show", "mood", "--suite", str(folder), "--k", "1"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), **locale}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert text in done.stdout.decode("utf-8")
