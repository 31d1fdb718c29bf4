"""The command line: typed configs in, one call into the packages, one clear line when something is wrong.

Nothing heavy is imported before a command is known, so that every help text appears at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from errno import ENOSPC
from importlib import import_module
from typing import Any

from metaicl.cli.config_files import located, named_in, read_config
from metaicl.cli.parser import Command, Parser, fill, refuse_unknown
from metaicl.cli.process import prepare
from task_suites.core.errors import UserError, nearest, refuse_half_characters
from task_suites.core.flat import build, flat, options_of
from task_suites.core.values import Word, as_yaml, plain, value_of

COMMANDS = (
    "quickstart",
    "suites",
    "models",
    "methods",
    "train",
    "evaluate",
    "tune",
    "benchmark",
    "reproduce",
    "predict",
    "serve",
    "try",
    "export",
    "runs",
    "report",
    "completion",
)
GENERAL = ("command", "config", "print_config", "debug")  # names of the parser that are not options of a command


def command_of(name: str) -> Command:
    """Return a command, which lies in the module of its name."""
    return import_module(f"metaicl.cli.{name}").COMMAND  # type: ignore[no-any-return]


def build_parser(names: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """Return the parser of these commands."""
    from metaicl import __version__

    parser = Parser(
        prog="metaicl",
        description=(sys.modules["metaicl"].__doc__ or "").split("\n\n")[0],
        epilog="Begin with `metaicl quickstart`. `metaicl COMMAND --help` lists a command's options, with examples.",
        allow_abbrev=False,
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("--version", action="version", version=__version__)
    below = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name in names:
        command = command_of(name)
        sub = below.add_parser(
            name,
            help=command.about,
            description=command.about,
            epilog=_examples(command.example),
            allow_abbrev=False,
            formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=32, width=110),
            usage=" ".join([f"metaicl {name}", *(f"[{p.upper()}]" for p in command.positional), "[options]"]),
        )
        fill(sub, command)
    return parser


def _examples(lines: str) -> str:
    """Return the end of a help text: one or more command lines."""
    first, *others = lines.splitlines()
    return "\n  ".join(["examples:", first, *others]) if others else f"example: {first}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; exit status 2 and one line on standard error for a mistake of the user's, 130 when interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    prepare()
    try:
        name, config = parse(words)
        if "--print_config" in words:
            print(as_yaml(plain(flat(config))), end="")
        else:
            command_of(name).run(config)
    except UserError as error:
        if debug:
            raise
        print(f"metaicl: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader of our output has gone (`... | head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt as error:
        said = str(error) or "finished work is kept, the same command continues"
        print(f"metaicl: interrupted: {said}", file=sys.stderr)
        sys.exit(getattr(error, "code", 130))
    except Exception as error:
        if debug:
            raise
        if isinstance(error, OSError) and error.strerror:  # no right to look there, a name too long, a full disk
            print(f"metaicl: {_of_the_system(error)}", file=sys.stderr)
            sys.exit(2)
        print(f"metaicl: {type(error).__name__}: {error} (--debug shows where)", file=sys.stderr)
        sys.exit(1)


def _of_the_system(error: OSError) -> UserError:
    """Return an error of the operating system in the words of ours."""
    named = error.filename if isinstance(error.filename, str | os.PathLike) else None
    fix = "Free space, or write to another folder." if error.errno == ENOSPC else None
    return UserError(f"cannot be read or written ({error.strerror})", where=named or "a file", fix=fix)


def parse(words: Sequence[str]) -> tuple[str, Any]:
    """Return (command, its config) from the words of a command line.

    Raises:
        UserError: an unknown command or option, or a value of a wrong type.
    """
    for word in words:
        refuse_half_characters(word, "the command line")
    name = next((word for word in words if not word.startswith("-")), "")
    if name and name not in COMMANDS:
        raise UserError(f"no command {name!r}", fix=nearest(name, COMMANDS))
    found, extras = build_parser([name] if name else COMMANDS).parse_known_args(list(words))
    if not name:
        raise UserError("no command", fix=f"{nearest('', COMMANDS)} --help says what each does.")
    command = command_of(name)
    known = options_of(command.config)
    refuse_unknown(extras, known)
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    for path in found.config or ():
        of_file, where = read_config(path, known)
        values = _over(values, of_file)
        places |= where
    for option, given in vars(found).items():
        if option not in GENERAL or option in known:
            values = _over(values, {option: value_of(_as_words(given), known[option].hint, f"--{option}")})
            places.pop(option, None)
    try:
        return name, build(command.config, values)
    except UserError as error:
        raise located(error, named_in(error), places) from None


def _over(values: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """Return values over which later ones go; a mapping keeps the names that the later one does not give."""
    both = {name: _over(values[name], given) for name, given in later.items() if _mappings(values.get(name), given)}
    return {**values, **later, **both}


def _mappings(*given: Any) -> bool:
    return all(isinstance(value, dict) for value in given)


def _as_words(given: Any) -> Any:
    """Return what argparse found, its texts as words."""
    if isinstance(given, list):
        return [Word(text) for text in given]
    return Word(given) if isinstance(given, str) else given


if __name__ == "__main__":
    main()
