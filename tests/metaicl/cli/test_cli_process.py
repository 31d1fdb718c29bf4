"""When a command began, by which the quickstart counts its minutes."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from metaicl.cli import process


def test_a_later_command_of_a_process_begins_when_it_is_given():
    """A test or a notebook may call several; the time before is not the command's."""
    process.prepare()
    first = process.begun()
    time.sleep(0.02)
    process.prepare()
    assert process.begun() >= first + 0.02


def test_the_first_command_of_a_process_begins_with_its_imports():
    code = (
        "import time; before = time.monotonic(); from metaicl.cli import process; after = time.monotonic(); "
        "time.sleep(0.02); process.prepare(); print(before, process.begun(), after)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, begun, after = map(float, done.stdout.split())
    assert before <= begun <= after


def test_a_warning_is_one_line_with_its_kind_and_place():
    line = process._warning_line("several\n  lines", UserWarning, "/somewhere/deep/module.py", 7)
    assert line == "metaicl: warning: several lines (UserWarning, module.py:7)\n"


@pytest.mark.parametrize(("policy", "turns"), [(None, "10000"), ("PASSIVE", None)])
def test_waiting_threads_sleep_soon_unless_the_user_said_how_they_wait(monkeypatch, policy, turns):
    monkeypatch.setattr(os, "environ", {"OMP_WAIT_POLICY": policy} if policy else {})
    process.prepare()
    assert os.environ.get("GOMP_SPINCOUNT") == turns
