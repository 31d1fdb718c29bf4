"""A command's configuration by flat names: one name for each option, in the shell, in YAML and in Python.

A configuration is a dataclass, and some of its fields are dataclasses again: its sections. The options of a section are
named without it (`learning_rate`, not `trainer.learning_rate`), unless the field says otherwise:

    @dataclass(frozen=True)
    class Run:
        method: str = "metaicl"                                                   # method
        trainer: Trainer = field(default_factory=Trainer)                         # learning_rate, max_steps, ...
        validation: Validation = section(Validation, before="validation_")        # validation_k, validation_seeds
        suite: Suite = section(Suite, name="suite")                               # suite, instead of name
        format: PromptFormat = section(PromptFormat, whole=True)                  # format: one option

"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Any, TypeVar, cast, get_type_hints

from task_suites.core.docstrings import documented
from task_suites.core.errors import UserError, nearest
from task_suites.core.idle import defaults_of
from task_suites.core.values import value_of

Config = TypeVar("Config")
_known: dict[type, dict[str, Option]] = {}  # docstrings are read once


@dataclass(frozen=True)
class Option:
    """One option of a command.

    Attributes:
        name: its flat name.
        path: the names of fields that lead to it.
        hint: its type.
        default: its default value; `MISSING` where it must be given.
        about: what it means.
        group: the title of its group in help texts; empty for the command's own.
    """

    name: str
    path: tuple[str, ...]
    hint: Any
    default: Any
    about: str
    group: str = ""


def section(factory: Any, before: str = "", whole: bool = False, **names: str) -> Any:
    """Return a field that is a section.

    Args:
        factory: makes the default, usually the section's class.
        before: what the names of its options begin with.
        whole: the section is one option, which takes a mapping.
        names: other names for some of its options, by the name of the field.
    """
    return field(default_factory=factory, metadata={"before": before, "whole": whole, "names": names})


def options_of(cls: type) -> dict[str, Option]:
    """Return the options of a configuration class by their flat names, its own first."""
    if cls not in _known:
        _known[cls] = _options_of(cls)
    return _known[cls]


def _options_of(cls: Any) -> dict[str, Option]:
    hints = get_type_hints(cls, include_extras=True)
    about, defaults = documented(cls), defaults_of(cls)
    own, below = [], []
    for f in fields(cls):
        hint, default = hints[f.name], defaults.get(f.name, MISSING)
        if not is_dataclass(hint) or f.metadata.get("whole"):
            own.append(Option(f.name, (f.name,), hint, default, about.get(f.name, "")))
            continue
        names, before = f.metadata.get("names", {}), f.metadata.get("before", "")
        title = about.get(f.name, f.name)
        for name, inner in options_of(cast(type, hint)).items():
            flat_name = names.get(name, before + name)
            value = getattr(default, inner.path[0])
            below.append(Option(flat_name, (f.name, *inner.path), inner.hint, value, inner.about, title))
    found: dict[str, Option] = {}
    for option in (*own, *below):
        if option.name in found:
            raise AssertionError(f"{cls.__name__} has two options {option.name}")
        found[option.name] = option
    return found


def build(cls: type[Config], given: Mapping[str, Any]) -> Config:
    """Return a configuration with the given values of options, by flat name, and defaults for the others.

    Raises:
        UserError: an unknown option, a value of another type or out of range, or an option that is missing.
    """
    known = options_of(cls)
    for name in given:
        if name not in known:
            raise UserError(f"unknown option {name}", fix=nearest(name, known))
    values: dict[tuple[str, ...], dict[str, Any]] = {}
    for name, item in given.items():
        *where, last = known[name].path
        values.setdefault(tuple(where), {})[last] = value_of(item, known[name].hint, name)
    for option in known.values():
        if option.default is MISSING and option.name not in given:
            raise UserError(f"{option.name} must be given", fix=f"It means: {option.about}")
    return _built(cls, values)


def _built(cls: type[Config], values: Mapping[tuple[str, ...], Mapping[str, Any]]) -> Config:
    """Return the configuration, its sections made from their defaults with the values given for them."""
    parts = dict(values.get((), {}))
    for f in fields(cls):  # type: ignore[arg-type]
        if (f.name,) in values:
            make: Any = f.default_factory
            default = make()
            changes = {**{g.name: getattr(default, g.name) for g in fields(default)}, **values[f.name,]}
            try:
                parts[f.name] = type(default)(**changes)
            except UserError as error:
                raise UserError(_renamed(str(error), f.metadata.get("names", {}))) from None
    return cls(**parts)


def _renamed(message: str, names: Mapping[str, str]) -> str:
    """Return a section's error with the flat name of the option that it begins with."""
    first = re.match(r"\w+", message)
    return names[first[0]] + message[first.end() :] if first and first[0] in names else message


def flat(config: Any) -> dict[str, Any]:
    """Return the value of every option of a configuration, by flat name."""
    found = {}
    for name, option in options_of(type(config)).items():
        value = config
        for part in option.path:
            value = getattr(value, part)
        found[name] = value
    return found
