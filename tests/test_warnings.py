"""A warning is shown, on one line, and silenced only where it comes from and by its own words."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(path for package in ("metaicl", "eval", "task_suites") for path in (ROOT / package).rglob("*.py"))
FILTERS = ("filterwarnings", "simplefilter")
SWITCHES = ("TRANSFORMERS_VERBOSITY", "PYTHONWARNINGS", "set_verbosity_error", "disable_warnings", "captureWarnings")


def filters(node: ast.AST, inside: bool = False) -> Iterator[tuple[ast.Call, bool]]:
    """(a call that sets a filter of warnings, whether it is undone at the end of a `catch_warnings` block)."""
    if isinstance(node, ast.With):
        inside = inside or any("catch_warnings" in ast.unparse(item.context_expr) for item in node.items)
    if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in FILTERS:
        yield node, inside
    for child in ast.iter_child_nodes(node):
        yield from filters(child, inside)


def test_each_filter_of_warnings_ends_with_its_block_and_names_a_message():
    found = [(path, call, inside) for path in SOURCES for call, inside in filters(ast.parse(path.read_text("utf-8")))]
    assert found  # there are some, so the search finds them
    for path, call, inside in found:
        where = f"{path.relative_to(ROOT)}:{call.lineno}"
        assert inside, f"{where} silences a warning for the whole process"
        named = len(call.args) > 1 or any(keyword.arg == "message" for keyword in call.keywords)
        assert named, f"{where} silences more than one message"


def test_the_tests_ignore_no_whole_category():
    settings = (ROOT / "pyproject.toml").read_text("utf-8")
    listed = ast.literal_eval(re.search(r"^filterwarnings = (\[.*?\])", settings, re.M | re.S).group(1))
    assert listed and not [entry for entry in listed if entry.startswith("ignore") and not entry.split(":")[1:2][0]]


def test_no_library_is_told_to_be_quiet():
    for path in SOURCES:
        text = path.read_text("utf-8")
        assert not [word for word in SWITCHES if word in text], path


@pytest.mark.parametrize("category", ["UserWarning", "FutureWarning", "RuntimeWarning"])
def test_the_command_line_shows_a_warning_on_one_line(tmp_path, category):
    """The suite that is listed warns while it is opened."""
    (tmp_path / "noisy.py").write_text(
        f"import warnings\nfrom toys import toy_suite\n\n\ndef suite():\n"
        f"    warnings.warn('first\\n  second', {category})\n    return toy_suite()\n"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support"), str(tmp_path)]),
    }
    command = [sys.executable, "-m", "metaicl", "suites", "list", "noisy:suite"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"metaicl: warning: first second ({category}, noisy.py:6)\n" in done.stderr
