"""What a message tells its reader to write is there: options, commands, files of the documentation."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from metaicl.cli.main import COMMANDS
from task_suites.core.flat import options_of

ROOT = Path(__file__).resolve().parents[3]
OF_EVERY_COMMAND = {"config", "debug", "help", "print_config", "version"}
OPTIONS = OF_EVERY_COMMAND.union(
    *(options_of(import_module(f"metaicl.cli.{name}").COMMAND.config) for name in COMMANDS)
)
FILES = [path for top in ("task_suites", "metaicl", "eval") for path in sorted((ROOT / top).rglob("*.py"))]
RAISED = re.compile(r"(User|UserType)Error|TooLong|error")


def named(text: str) -> Iterator[str]:
    """Yield what a text names and what is not there."""
    yield from (f"--{name}" for name in re.findall(r"(?<!var\()--(?:no-)?([a-z]\w+)", text) if name not in OPTIONS)
    yield from (
        f"metaicl {name}"
        for name in re.findall(r"`metaicl (\w+)|: metaicl (\w+)", text)
        if set(name) - {""} - set(COMMANDS)
    )
    yield from (
        name for name in re.findall(r"\b(?:docs|configs|examples)/[\w/-]+\.\w+", text) if not (ROOT / name).exists()
    )


def messages(tree: ast.AST) -> Iterator[str]:
    """Yield the texts of errors: what is given to one, and what is assigned to `fix`, `what` or `expected` before."""
    for node in ast.walk(tree):
        parts: list[ast.AST] = []
        if isinstance(node, ast.Call) and RAISED.fullmatch(ast.unparse(node.func).rpartition(".")[2]):
            parts = [*node.args, *(keyword.value for keyword in node.keywords)]
        elif isinstance(node, ast.Assign) and re.fullmatch(r"fix|what|expected|[A-Z_]+", ast.unparse(node.targets[0])):
            parts = [node.value]
        for part in parts:
            texts = [n.value for n in ast.walk(part) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
            yield " ".join(texts)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_a_message_names_is_there(path):
    assert [name for text in messages(ast.parse(path.read_text(encoding="utf-8"))) for name in named(text)] == []


def test_a_name_that_is_not_there_would_be_found():
    source = """
fix = "Give --no_such, or run: metaicl trian (docs/none.md)."
raise UserError("x", fix=f"See `metaicl no` {fix}")
"""
    assert len([name for text in messages(ast.parse(source)) for name in named(text)]) == 4
