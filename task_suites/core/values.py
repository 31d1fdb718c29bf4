"""A value of the type that an option declares, from words of a command line, from YAML or from Python.

    value_of(Word("3"), int, "k")                                  3
    value_of([Word("a=1"), Word("b=x")], dict[str, Any], "o")      {"a": 1, "b": "x"}
    value_of(Word("letters"), PromptFormat, "format")              PromptFormat(choices="letters")

A `Word` is read as YAML where the type is not text; any other string is text. What does not fit raises one `UserError`,
which names the option.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from task_suites.core.errors import UserError, nearest
from task_suites.core.yaml_files import refuse_repeated


class Word(str):
    """A word of a command line, or a plain scalar of a YAML file: its option says of which type it is."""


class Loader(yaml.SafeLoader):
    """YAML whose numbers are decimal: 1e-3 is one, while 010, 0x10 and 1:30 (8, 16 and 90 in YAML 1.1) are texts, and
    so are dates. A key twice in one mapping is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        refuse_repeated(node)
        return super().construct_mapping(node, deep)


_EXPONENT = "[eE][-+]?[0-9]+"
_NUMBERS = {
    "int": "[-+]?(0|[1-9][0-9_]*)",
    "float": rf"[-+]?(([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)({_EXPONENT})?|[0-9][0-9_]*{_EXPONENT}|\.(inf|Inf|INF))"
    r"|\.(nan|NaN|NAN)",
}
_TYPED = ("int", "float", "timestamp")
Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in patterns if tag.rpartition(":")[2] not in _TYPED]
    for first, patterns in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Dumper(yaml.SafeDumper):
    """Puts a text in quotes that `Loader` would read as a number."""


for _kind, _pattern in _NUMBERS.items():
    for _side in (Loader, _Dumper):
        _side.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(f"(?:{_pattern})$"), list("-+.0123456789"))


def as_yaml(value: Any) -> str:
    """Return the YAML of plain values (`plain`) that `Loader` reads as they are: in plain Unicode, or where that is
    folded wrongly (NEL) escaped."""
    text, escaped = (yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=as_is) for as_is in (True, False))
    return text if yaml.load(text, Loader) == yaml.load(escaped, Loader) else escaped


PLAIN: Mapping[type, str] = {  # types in words
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
}


def value_of(given: Any, hint: Any, name: str) -> Any:
    """Return what is given as a value of the declared type.

    Args:
        given: a word, several words, or a value from YAML or Python.
        hint: the declared type.
        name: the option's name, for errors.

    Raises:
        UserError: it does not fit the type.
    """
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return value_of(given, parts[0], name)
    if origin in (Union, types.UnionType):
        return _of_union(given, parts, name)
    if origin is Literal:
        value = str(given) if isinstance(given, Word) else given
        if value not in parts:
            raise UserError(f"{name} must be {listed(parts)}, but is {value!r}")
        return value
    if origin is list:
        return [value_of(item, parts[0], name) for item in _items(given, name)]
    if origin is dict:
        nested = get_origin(parts[1]) is dict
        return {
            str(key): value_of(item, parts[1], f"{name}.{key}") for key, item in _pairs(given, name, nested).items()
        }
    if is_dataclass(hint) and isinstance(hint, type):
        return _of_dataclass(given, hint, name)
    if hint is Any:
        return _of_any_type(given, name)
    return _plain(given, hint, name)


def plain(value: Any) -> Any:
    """Return a value as YAML and JSON take it: dataclasses as dictionaries, tuples as lists, paths as texts."""
    if is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def listed(choices: tuple[Any, ...]) -> str:
    """Return choices as `a, b or c`."""
    *first, last = map(str, choices)
    return f"{', '.join(first)} or {last}" if first else last


def _of_union(given: Any, parts: tuple[Any, ...], name: str) -> Any:
    if type(None) in parts and (given is None or (isinstance(given, Word) and given in ("null", "None"))):
        return None
    kinds = [part for part in parts if part is not type(None)]
    for kind in kinds[:-1]:
        try:
            return value_of(given, kind, name)
        except UserError:  # the next type of the union may take it
            continue
    return value_of(given, kinds[-1], name)


def _of_any_type(given: Any, name: str) -> Any:
    """Return a value whose words are read as YAML, also those in its lists and mappings."""
    if isinstance(given, Word):
        return _from_yaml(given, name)
    if isinstance(given, list):
        return [_of_any_type(item, name) for item in given]
    return {key: _of_any_type(item, name) for key, item in given.items()} if isinstance(given, dict) else given


def _plain(given: Any, kind: type, name: str) -> Any:
    value = str(given) if isinstance(given, Word | Path) else given
    if isinstance(given, Word) and kind not in (str, Path):
        value = _from_yaml(given, name)
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        what = f"{name} must be {PLAIN.get(kind, kind.__name__)}, but is {value!r}"
        raise UserError(what, fix=_otherwise(given, value, kind))
    return value


def _otherwise(given: Any, value: Any, kind: type) -> str | None:
    """Return how a value of another type would be written, where that can be told."""
    if not isinstance(value, str) or kind not in (int, float):
        return None
    if isinstance(given, Word):
        return "Numbers are written in decimal, such as 10." if re.match(r"[-+]?[0-9]", value) else None
    try:
        kind(value)
    except ValueError:
        return None
    return "Write it without quotes."


def _from_yaml(text: str, name: str) -> Any:
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        what = f"{name} cannot be read as YAML ({getattr(error, 'problem', None) or type(error).__name__})"
        raise UserError(what, found=repr(str(text))) from None


def _items(given: Any, name: str) -> list[Any]:
    """Return a list from words, one of which may hold all as a YAML list."""
    if not isinstance(given, list | tuple):
        given = [given]
    if len(given) == 1 and isinstance(given[0], Word) and given[0].lstrip().startswith("["):
        given = _from_yaml(given[0], name)
    return list(given)


def _pairs(given: Any, name: str, nested: bool = False) -> Mapping[str, Any]:
    """Return a mapping from words NAME=VALUE, one of which may hold all as a YAML mapping.

    Args:
        nested: whether its values are mappings. Words may then be NAME.KEY=VALUE.
    """
    words = [given] if isinstance(given, str) else given
    if words is None:
        return {}
    if isinstance(words, list | tuple):
        if len(words) == 1 and str(words[0]).lstrip().startswith("{"):
            given = _from_yaml(str(words[0]), name)
        else:
            pairs = [str(word).partition("=") for word in words]
            if wrong := next((key for key, equals, _ in pairs if not equals), None):
                raise UserError(f"{name} must be NAME=VALUE words or a mapping, but one word is {wrong!r}")
            names = [key for key, _, _ in pairs]
            if twice := next((key for key in names if names.count(key) > 1), None):
                raise UserError(f"{name} has {twice} twice", found=" ".join(map(str, words))[:80], fix="Give it once.")
            given = _grouped(pairs, name) if nested else {key: Word(value) for key, _, value in pairs}
    if not isinstance(given, Mapping):
        raise UserError(f"{name} must be a mapping, but is {given!r}")
    return given


def _grouped(pairs: Sequence[tuple[str, str, str]], option: str) -> dict[str, Any]:
    """Return (NAME.KEY, "=", VALUE) by NAME, as words KEY=VALUE; a NAME whose value is a mapping keeps it."""
    whole: dict[str, Any] = {}
    parts: dict[str, Any] = {}
    for key, _, value in pairs:
        name, _, inner = key.rpartition(".")
        if not name or value.lstrip().startswith("{"):
            whole[key] = Word(value)
        else:
            parts.setdefault(name, []).append(Word(f"{inner}={value}"))
    for name in whole.keys() & parts.keys():
        what = f"{option} {name} is given twice, as {name}={{...}} and as {name}.{parts[name][0].partition('=')[0]}=..."
        raise UserError(what, fix="Give it in one of the two ways.")
    return whole | parts


def _of_dataclass(given: Any, cls: type, name: str) -> Any:
    """Return an object from a mapping of its fields; before it words may name a value that the class gives by name
    (`cls.named`)."""
    if isinstance(given, cls):
        return given
    named: Callable[[str], Mapping[str, Any]] | None = getattr(cls, "named", None)
    words = [given] if isinstance(given, str) else given
    first: Mapping[str, Any] = {}
    if named and isinstance(words, list | tuple) and words and not str(words[0]).lstrip().startswith("{"):
        if "=" not in str(words[0]):
            first, words = named(str(words[0])), words[1:]
        given = words
    hints = get_type_hints(cls, include_extras=True)
    known = [f.name for f in fields(cls)]
    changes = {}
    for key, item in _pairs(given, name).items():
        if key not in known:
            raise UserError(f"unknown option {name}.{key}", fix=nearest(key, known))
        changes[key] = value_of(item, hints[key], f"{name}.{key}")
    return cls(**{**first, **changes})
