"""Reading a configuration file: the options of a command in YAML, one a line, each mistake with its line.

A run's `config.yaml` has a second YAML document, which says on what it ran. The first one is the configuration.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from metaicl.cli.unknown_options import meant
from task_suites.core.errors import UserError, refuse_half_characters
from task_suites.core.files import at_line, read_text
from task_suites.core.flat import Option
from task_suites.core.values import Loader, Word, value_of
from task_suites.core.yaml_files import MAX_YAML, check_node

Where = dict[str, str]  # option -> file:line
MANIFEST = "manifest"  # the only key of the second document


def read_config(path: Path, known: Mapping[str, Option]) -> tuple[dict[str, Any], Where]:
    """Return the values of the options that a file gives, and where each stands.

    Raises:
        UserError: no such file, no YAML mapping, two documents, an option that is unknown or given twice, or a value of
            another type.
    """
    values: dict[str, Any] = {}
    places: Where = {}
    for key, node in _first_document(path).value:
        name, where = str(key.value), f"{path}:{key.start_mark.line + 1}"
        if name not in known:
            raise UserError(f"unknown key {name!r}", where=where, fix=_in_place_of(name, node, known))
        if name in values:
            raise UserError(f"key {name!r} is given twice", where=where, fix=f"It is in {places[name]} too.")
        try:
            check_node(node, where)
            for text in _texts(node):
                refuse_half_characters(text, where)
            given = _constructed(node)
        except yaml.YAMLError as error:
            raise UserError(f"{name} cannot be read as YAML ({_problem(error)})", where=where) from None
        try:
            values[name] = value_of(given, known[name].hint, name)
        except UserError as error:
            raise located(error, name, {name: where}) from None
        places[name] = where
    return values, places


def located(error: UserError, name: str, places: Mapping[str, str]) -> UserError:
    """Return the error with the file and line of the option, where a file gave it."""
    return UserError(f"{places[name]}: {error}") if name in places else error


def named_in(error: UserError) -> str:
    """Return the name that an error begins with."""
    first = re.match(r"\w+", str(error))
    return first[0] if first else ""


def _first_document(path: Path) -> yaml.MappingNode:
    try:
        documents: list[yaml.Node | None] = list(yaml.compose_all(read_text(path, MAX_YAML), Loader))
    except yaml.YAMLError as error:
        raise UserError(f"not YAML: {' '.join(str(error).split())}", where=path) from None
    first = documents[0] if documents else None
    if not isinstance(first, yaml.MappingNode):
        raise UserError("not a mapping", where=path, expected="key: value lines")
    for other in documents[1:]:
        keys = [key.value for key, _ in other.value] if isinstance(other, yaml.MappingNode) else []
        if keys != [MANIFEST]:
            where = at_line(path, other.start_mark.line + 1 if other else None)
            raise UserError(
                "a second YAML document", where=where, expected="one", fix='Delete the line "---" before it.'
            )
    return first


def _constructed(node: yaml.Node) -> Any:
    """Return a node's value; a plain scalar as the word that it is, whose type the option says.

    Raises:
        yaml.YAMLError: a key that is not a scalar.
    """
    if isinstance(node, yaml.SequenceNode):
        return [_constructed(item) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        Loader("").flatten_mapping(node)  # what `<<` adds
        if strange := next((key for key, _ in node.value if not isinstance(key, yaml.ScalarNode)), None):
            raise yaml.constructor.ConstructorError(None, None, "a key must be text", strange.start_mark)
        return {key.value: _constructed(value) for key, value in node.value}
    assert isinstance(node, yaml.ScalarNode)
    if node.style is None:
        return None if node.tag.endswith(":null") else Word(node.value)
    return node.value


def _problem(error: yaml.YAMLError) -> str:
    return " ".join(str(getattr(error, "problem", None) or error).split())


def _in_place_of(name: str, node: yaml.Node, known: Collection[str]) -> str:
    """Return what to write instead of an unknown key; of a section, each of whose options stands by itself."""
    if isinstance(node, yaml.MappingNode) and node.value:
        inner = str(node.value[0][0].value)
        return f"Write its options without it, a line each: {inner if inner in known else meant(inner, known)}"
    return meant(name, known)


def _texts(node: yaml.Node) -> Iterator[str]:
    """Yield the texts in a YAML node."""
    for item in node.value if isinstance(node, yaml.CollectionNode) else ():
        for part in item if isinstance(item, tuple) else (item,):
            yield from _texts(part)
    if isinstance(node, yaml.ScalarNode):
        yield node.value
