"""Reading YAML without running anything: every mistake is a `UserError` with file and line."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from task_suites.core.errors import UserError
from task_suites.core.files import at_line, read_text

MAX_YAML = 1 << 22  # of a YAML file, in bytes
MAX_NODES = 1_000_000  # of a YAML file, its aliases written out
_YAML_MISTAKES = (
    *(yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError),  # what constructors of tagged values raise
    *(RecursionError, OverflowError),
)


def read_yaml(path: Path) -> Any:
    """Return the value in a YAML file, read without running anything; aliases are taken as far as they stay small.

    Raises:
        UserError: see `compose`.
    """
    return _read(path, lambda loader, node: None if node is None else loader.construct_document(node))


def compose(path: Path) -> yaml.Node | None:
    """Return the node at the root of a YAML file, whose values are not made yet; None for an empty file.

    Raises:
        UserError: see `read_text`; or not YAML, a key twice, several documents, or aliases that grow beyond
            `MAX_NODES` or into a circle.
    """
    node: yaml.Node | None = _read(path, lambda loader, node: node)
    return node


def _read(path: Path, made: Callable[[Any, yaml.Node | None], Any]) -> Any:
    """Return what `made` gives for the loader and the root, which is checked; its mistakes are a `UserError`."""
    text = read_text(path, MAX_YAML)
    loader = _yaml_loader()(io.StringIO(text))
    try:
        node = loader.get_single_node()
        if node is not None:
            check_node(node, path)
        return made(loader, node)
    except UserError:
        raise
    except _YAML_MISTAKES as error:
        mark = getattr(error, "problem_mark", None)
        reason = " ".join(str(getattr(error, "problem", None) or error or type(error).__name__).split())[:200]
        raise UserError(
            f"not readable as YAML: {reason}", where=at_line(path, mark.line + 1 if mark else None)
        ) from None
    finally:
        loader.dispose()


def check_node(node: yaml.Node, where: object) -> None:
    """Raise where a node cannot be taken as it is.

    Raises:
        UserError: aliases that grow beyond `MAX_NODES` or into a circle.
        yaml.constructor.ConstructorError: a key twice in one mapping.
    """
    if _size(node, {}, ()) > MAX_NODES:
        raise UserError("the aliases make the file too large", where=where, expected=f"at most {MAX_NODES} values")


def refuse_repeated(node: yaml.MappingNode) -> None:
    """Raise a `yaml.constructor.ConstructorError` where a key occurs twice in one mapping."""
    seen: set[tuple[str, str]] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if (key.tag, key.value) in seen:
                problem = f"key {key.value!r} occurs twice in one mapping"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add((key.tag, key.value))


@cache
def _yaml_loader() -> Any:
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml: ten times as fast, nests 1,000 deep at most


def _size(node: Any, known: dict[int, float], above: tuple[int, ...]) -> float:
    """Return the number of values below a node, aliases written out; infinite for a circle.

    Raises:
        yaml.constructor.ConstructorError: a key twice in one mapping.
    """
    if isinstance(node, yaml.ScalarNode):
        return 1.0
    if id(node) in above:
        return math.inf
    if id(node) not in known:
        below = node.value
        if isinstance(node, yaml.MappingNode):
            refuse_repeated(node)
            below = [child for pair in below for child in pair]
        above = (*above, id(node))
        known[id(node)] = 1.0 + sum(_size(child, known, above) for child in below)
    return known[id(node)]
