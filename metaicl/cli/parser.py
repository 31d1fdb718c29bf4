"""The parser of a command, made from its configuration's options: argparse knows their names, and nothing of types."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Union, get_args, get_origin

from metaicl.cli.unknown_options import meant
from task_suites.core.errors import UserError
from task_suites.core.flat import Option, options_of

WORDS: dict[str, Any] = {"nargs": "*", "action": "extend"}  # of a list: a second mention adds to the first


@dataclass(frozen=True)
class Command:
    """A command of `metaicl`.

    Attributes:
        config: the class of its configuration, whose docstring is its help text.
        run: what it does with one.
        example: a command line, or several, one a line.
        positional: options that are given by their position, in this order.
        groups: option -> the title under which the help text lists it, where its configuration does not say that.
    """

    config: type
    run: Callable[[Any], None]
    example: str
    positional: tuple[str, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)

    @property
    def about(self) -> str:
        """What the command does, in one line."""
        return (self.config.__doc__ or "").splitlines()[0]


class Parser(argparse.ArgumentParser):
    """argparse, whose every complaint is a `UserError`."""

    def error(self, message: str) -> NoReturn:
        raise UserError(_in_our_words(message))


def _in_our_words(message: str) -> str:
    text = " ".join(message.split())
    if found := re.match(r"argument (\S+?)(?:/\S+|, \S+)?: expected (one|at least one) argument", text):
        return f"{found[1]} needs a value"
    if found := re.match(r"argument (?:--)?(\S+): not allowed with argument", text):
        return f"{found[1].lower()} is given by its position and by its name. Give it once."
    if found := re.match(r"argument (\S+?)(?:/\S+|, \S+)?: ignored explicit argument (.*)", text):
        name = found[1].rstrip(",")
        return f"{name} takes no value, but is given {found[2]}. Write {name} or --no-{name.removeprefix('--')}."
    return text


def fill(parser: argparse.ArgumentParser, command: Command) -> None:
    """Add a command's options to a parser, in groups."""
    options = options_of(command.config)
    for name in command.positional:
        option = options[name]
        settings = WORDS if takes_words(option.hint) else {"nargs": "?"}
        either = parser.add_mutually_exclusive_group()
        for known_as, about in ((name, _help(option)), (f"--{name}", argparse.SUPPRESS)):  # other commands' options
            either.add_argument(known_as, default=argparse.SUPPRESS, help=about, metavar=name.upper(), **settings)
    groups: dict[str, Any] = {}
    for option in options.values():
        if option.name not in command.positional:
            title = command.groups.get(option.name) or option.group.rstrip(".") or "options of the command"
            group = groups.get(title) or groups.setdefault(title, parser.add_argument_group(title))
            add_option(group, option)
    general = parser.add_argument_group("configuration")
    general.add_argument(
        "--config",
        action="append",
        type=Path,
        metavar="FILE",
        help="a YAML file of options; flags override it, pair by pair where an option has NAME=VALUE",
    )
    general.add_argument("--print_config", action="store_true", help="print all options as YAML, and stop")


def add_option(group: Any, option: Option) -> None:
    """Add one option to a group: a flag for true and false, several words for a list, else one word."""
    flag, settings = f"--{option.name}", {"default": argparse.SUPPRESS, "help": _help(option)}
    if option.hint is bool:
        group.add_argument(flag, action=argparse.BooleanOptionalAction, **settings)
    elif takes_words(option.hint):
        group.add_argument(flag, metavar=metavar(option.hint), **WORDS, **settings)
    else:
        group.add_argument(flag, metavar=metavar(option.hint), **settings)


def takes_words(hint: Any) -> bool:
    """Return whether an option of a type takes several words."""
    return get_origin(hint) in (list, dict) or is_dataclass(hint)


def metavar(hint: Any) -> str:
    """Return what stands for a value of a type in a help text."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return metavar(parts[0])
    if origin is Literal:
        return "{" + ",".join(map(str, parts)) + "}"
    if origin is Union or (parts and type(None) in parts):
        return metavar(next(part for part in parts if part is not type(None)))
    if origin is list:
        return metavar(parts[0])
    if origin is dict:
        return "NAME=VALUE"
    return {int: "N", float: "X", Path: "PATH", str: "TEXT"}.get(hint, "VALUE")


def _help(option: Option) -> str:
    default = option.default
    shown = "" if default in (MISSING, None, "", [], {}) or is_dataclass(default) else _default(default)
    return (option.about + (f" (default: {shown})" if shown else "")).replace("%", "%%")


def _default(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        return " ".join(f"{name}={item}" for name, item in value.items())
    return str(value)


def refuse_unknown(extras: Iterable[str], known: Iterable[str]) -> None:
    """Raise for words that no option takes.

    Raises:
        UserError: names the option that was probably meant.
    """
    names = list(known)
    for word in extras:
        if word.startswith("--"):
            name = word.removeprefix("--").partition("=")[0]
            raise UserError(f"unknown option --{name}. {meant(name, names)}")
        switch = "A switch takes no value: write --NAME or --no-NAME."
        suite = " A suite is named after --suite." if "suite" in names else ""
        fix = switch if word in ("true", "false") else f"--help shows what the command takes.{suite}"
        raise UserError(f"unexpected word {word!r}", fix=fix)
