"""The tutorial's notebook runs as it stands, on the public interface, and is kept without outputs."""

from __future__ import annotations

import ast
import json
import runpy
from pathlib import Path

import pytest

import metaicl

ROOT = Path(__file__).resolve().parents[1]
CELLS = json.loads((ROOT / "docs" / "tutorial.ipynb").read_text(encoding="utf-8"))["cells"]
CODE = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]


def test_it_is_kept_without_outputs():
    kept = [cell for cell in CELLS if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in kept)


def test_it_uses_the_public_interface_only():
    nodes = list(ast.walk(ast.parse("\n".join(CODE))))
    modules = {node.module for node in nodes if isinstance(node, ast.ImportFrom)} | {
        alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names
    }
    own = {name for name in modules if name and name.split(".")[0] in ("metaicl", "eval", "task_suites")}
    assert own == {"metaicl"}
    used = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "metaicl"
    }
    assert used <= set(metaicl.__all__) and {"train", "evaluate", "FewShotClassifier"} <= used


@pytest.mark.slow
def test_it_runs_and_becomes_a_page_with_its_pictures():
    pytest.importorskip("ipykernel", reason="the notebook is run by a Jupyter kernel; install .[dev]")
    made = runpy.run_path(str(ROOT / "docs" / "notebook.py"))
    text, pictures = made["page"](made["executed"]())
    assert "MetaICL" in text and len(pictures) == 2
    assert all(f"]({name})" in text for name in pictures)
