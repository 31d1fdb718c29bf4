"""When a command began, by which the quickstart counts its minutes."""

from __future__ import annotations

import subprocess
import sys
import time

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
        "time.sleep(0.02); process.prepare(); assert before <= process.begun() <= after"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
