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
from task_suites.core.flat import Option
from task_suites.core.values import Loader, Word, value_of

Where = dict[str, str]  # option -> file:line


def read_config(path: Path, known: Mapping[str, Option]) -> tuple[dict[str, Any], Where]:
    """Return the values of the options that a file gives, and where each stands.

    Raises:
        UserError: no such file, no YAML mapping, an option that is unknown or given twice, or a value of another type.
    """
    values: dict[str, Any] = {}
    places: Where = {}
    for key, node in _first_document(path).value:
        name, where = str(key.value), f"{path}:{key.start_mark.line + 1}"
        if name not in known:
            raise UserError(f"unknown key {name!r}", where=where, fix=_in_place_of(name, node, known))
        if name in values:
            raise UserError(f"key {name!r} is given twice", where=where, fix=f"It is in {places[name]} too.")
        for text in _texts(node):
            refuse_half_characters(text, where)
        try:
            values[name] = value_of(_constructed(node), known[name].hint, name)
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
        documents = list(yaml.compose_all(path.read_text(encoding="utf-8"), Loader))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise UserError(f"cannot read the config: {reason}", where=path) from None
    except yaml.YAMLError as error:
        raise UserError(f"not YAML: {' '.join(str(error).split())}", where=path) from None
    if not documents or not isinstance(documents[0], yaml.MappingNode):
        raise UserError("not a mapping", where=path, expected="key: value lines")
    return documents[0]


def _constructed(node: yaml.Node) -> Any:
    """Return a node's value; a plain scalar as the word that it is, whose type the option says."""
    if isinstance(node, yaml.ScalarNode) and node.style is None:
        return None if node.tag.endswith(":null") else Word(node.value)
    loader = Loader("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()


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
