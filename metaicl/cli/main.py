"""The command line: typed configs in, one call into the packages, one clear line when something is wrong.

Nothing heavy is imported before a command is known, so that every help text appears at once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser, set_parsing_settings

from eval.config import EvaluateRun, MapRun, QuickstartRun, TuneRun
from metaicl.cli.actions import check_action
from metaicl.cli.config_files import MODE
from metaicl.cli.methods import Methods, run_methods
from metaicl.cli.process import STARTED, prepare
from metaicl.cli.runs import Runs, run_runs
from metaicl.cli.suites import Suites, run_suites
from metaicl.cli.unknown_options import explained
from metaicl.training.config import TrainRun
from task_suites.core.errors import UserError, nearest, refuse_half_characters
from task_suites.formats.presets import PRESETS

set_parsing_settings(docstring_parse_attribute_docstrings=True)


@dataclass(frozen=True)
class Predict:
    """Answer new inputs from a file of demonstrations; one JSON object a line on standard output.

    Attributes:
        demos: JSON lines with answers: {"input", "output"}, with "options" for multiple choice, {"tokens", "tags"}.
        inputs: JSON lines without answers; - reads them from standard input.
        model: a run's folder, or a backbone's name.
        method: for a backbone: a method that needs no meta-training (default icl).
        instruction: what to do; it heads the prompts.
    """

    demos: Path
    inputs: Path
    model: str = "smollm2-135m"
    method: str | None = None
    instruction: str = ""


@dataclass(frozen=True)
class Report:
    """Write a finished run's report (or a map's page) again.

    Attributes:
        run: the run's folder.
    """

    run: Path


@dataclass(frozen=True)
class Models:
    """Base models that need no hub: list, pull NAME, show NAME.

    Attributes:
        action: list, pull or show.
        name: of the model.
    """

    action: str
    name: str = "smollm2-135m"


def run_quickstart(config: QuickstartRun) -> None:
    from eval.quickstart.run import quickstart

    quickstart(config, STARTED)


def run_train(config: TrainRun) -> None:
    from eval.harness import make_validate
    from metaicl.training.idle_options import refuse_idle_training
    from metaicl.training.run import train_run

    refuse_idle_training(config)
    train_run(config, make_validate)


def run_evaluate(config: EvaluateRun) -> None:
    from eval.evaluate import evaluate_run
    from eval.refusals import GAPS, gaps

    if gaps(evaluate_run(config)):
        sys.exit(GAPS)


def run_tune(config: TuneRun) -> None:
    from eval.tune import tune_run

    tune_run(config)


def run_map(config: MapRun) -> None:
    from eval.map import map_run

    map_run(config)


def run_predict(config: Predict) -> None:
    from metaicl.inference.files import answer_questions, read_questions
    from task_suites.core.line_store import json_line

    questions = read_questions(config.demos, config.inputs)  # before a model is loaded
    if questions.note:
        print(questions.note, file=sys.stderr)
    from metaicl.inference.opening import open_method

    method = open_method(config.model, config.method, bool(config.instruction))
    for row in answer_questions(method, questions, config.instruction):
        print(json_line(row), end="")


def run_report(config: Report) -> None:
    from eval.report.map import write_map
    from eval.report.page import write_report

    print(write_map(config.run) if (config.run / "map.json").is_file() else write_report(config.run))


def run_models(config: Models) -> None:
    from metaicl.lm import models

    check_action(config.action, ("list", "pull", "show"))
    if config.action == "list":
        for model in models.MODELS.values():
            state = "pulled" if models.local_folder(model.name) else "not pulled"
            print(f"{model.name}  {state}  {model.licence}  {model.description}")
    elif config.action == "pull":
        print(models.pull(config.name, say=lambda message: print(message, file=sys.stderr)))
    else:
        print(models.describe(config.name))


# command -> (config, what runs it, names of its positional arguments)
COMMANDS: dict[str, tuple[type, Callable[[Any], None], tuple[str, ...]]] = {
    "quickstart": (QuickstartRun, run_quickstart, ()),
    "suites": (Suites, run_suites, ("action", "task")),
    "models": (Models, run_models, ("action", "name")),
    "methods": (Methods, run_methods, ("action", "name")),
    "train": (TrainRun, run_train, ()),
    "evaluate": (EvaluateRun, run_evaluate, ()),
    "tune": (TuneRun, run_tune, ()),
    "map": (MapRun, run_map, ()),
    "predict": (Predict, run_predict, ()),
    "runs": (Runs, run_runs, ("action", "run", "other")),
    "report": (Report, run_report, ("run",)),
}


def build_parser(commands: Sequence[str] = tuple(COMMANDS)) -> tuple[ArgumentParser, dict[str, ArgumentParser]]:
    """(the parser, the parser of each command)."""
    from metaicl import __version__

    parser = ArgumentParser(
        prog="metaicl", description=sys.modules["metaicl"].__doc__, exit_on_error=False, parser_mode=MODE
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("--version", action="version", version=__version__)
    subcommands = parser.add_subcommands(required=True)
    parsers = {}
    for name in commands:
        config = COMMANDS[name][0]
        about = _doc(config).split("\n\n    Attributes")[0]
        sub = ArgumentParser(description=about, exit_on_error=False, parser_mode=MODE)
        sub.add_argument("--config", action="config", help="a YAML file; later flags go over it")
        sub.add_class_arguments(config, None, as_group=True)
        subcommands.add_subcommand(name, sub, help=_doc(config).splitlines()[0])
        parsers[name] = sub
    return parser, parsers


def _doc(config: type) -> str:
    return config.__doc__ or ""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; exit status 2 and one line on standard error for a mistake of the user's, 130 when interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    prepare()
    try:
        command, config = parse(words)
        COMMANDS[command][1](config)
    except UserError as error:
        if debug:
            raise
        print(f"metaicl: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader of our output has gone (`... | head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("metaicl: interrupted; finished work is kept, the same command continues", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if debug:
            raise
        print(f"metaicl: {type(error).__name__}: {error} (--debug shows where)", file=sys.stderr)
        sys.exit(1)


def parse(words: list[str]) -> tuple[str, Any]:
    """(command, its config) from the words of a command line.

    Raises:
        UserError: an unknown command or option, or a value of a wrong type.
    """
    for word in words:
        refuse_half_characters(word, "the command line")
    command = next((word for word in words if not word.startswith("-")), "")
    if command and command not in COMMANDS:
        raise UserError(f"no command {command!r}", fix=nearest(command, COMMANDS))
    words = _format_fields(_positional_to_flags(words, command))
    parser, parsers = build_parser([command] if command else list(COMMANDS))
    if command:
        words = _lists(_bare_switches(words, parsers[command]), parsers[command])
        for path in _config_files(words):
            check_keys(path, _known_keys(parsers[command]))
    try:
        parsed = parser.instantiate(parser.parse_args(words))[command]
    except ArgumentError as error:
        known = _known_keys(parsers[command]) if command else ()
        raise UserError(explained(str(error), known)) from None
    values = dict(parsed.as_dict() if hasattr(parsed, "as_dict") else vars(parsed))
    values.pop("config", None)
    return command, COMMANDS[command][0](**values)


def _positional_to_flags(words: list[str], command: str) -> list[str]:
    """`models pull NAME` as `models --action pull --name NAME`."""
    names = list(COMMANDS[command][2]) if command else []
    if not names or command not in words:
        return words
    start = words.index(command) + 1
    result = words[:start]
    rest = words[start:]
    while rest and names and not rest[0].startswith("-"):
        result += [f"--{names.pop(0)}", rest.pop(0)]
    return result + rest


def _format_fields(words: list[str]) -> list[str]:
    """`--format letters` as `--format.choices letters`, the fields of that format; flags after it go over them."""
    result: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name = word.removeprefix("--format=") if word.startswith("--format=") else None
        if word == "--format" and rest:
            name = rest.pop(0)
        if name is None:
            result.append(word)
        elif name.lstrip().startswith("{") or Path(name).is_file():  # all fields at once
            result += ["--format", name]
        else:
            if name not in PRESETS:
                raise UserError(f"no format {name!r}", fix=nearest(name, PRESETS))
            for key, value in PRESETS[name].items():
                result += [f"--format.{key}", value if isinstance(value, str) else json.dumps(value)]
    return result


def _bare_switches(words: list[str], parser: ArgumentParser) -> list[str]:
    """`--json` as `--json=true` for options that are true or false."""
    switches = {
        f"--{action.dest}" for action in parser._actions if getattr(action, "_typehint", None) in (bool, bool | None)
    }
    result = []
    for word, following in zip(words, [*words[1:], ""], strict=True):
        bare = word in switches and following not in ("true", "false")
        if bare and following and not following.startswith("-"):
            raise UserError(word, found=following, expected="true, false or nothing after it")
        result.append(f"{word}=true" if bare else word)
    return result


def _lists(words: list[str], parser: ArgumentParser) -> list[str]:
    """Return the words with `--tasks mood taste` as `--tasks=["mood", "taste"]`, for options that are lists, and with
    `--suite NAME NAME` as `--suite.names=["NAME", "NAME"]`.

    Raises:
        UserError: a list is given twice.
    """
    kinds = {f"--{action.dest}": str(getattr(action, "_typehint", None)) for action in parser._actions}
    lists = {name: (name, kind) for name, kind in kinds.items() if kind.startswith("list[")}
    if names := lists.get("--suite.names"):
        lists["--suite"] = names
    result: list[str] = []
    rest = list(words)
    while rest:
        given, equals, value = rest.pop(0).partition("=")
        values = [value] if equals else []
        while given in lists and not equals and rest and not rest[0].startswith("--"):
            values.append(rest.pop(0))
        if given not in lists or (given == "--suite" and " ".join(values).lstrip().startswith("{")):
            result += [f"{given}{equals}{value}", *([] if equals else values)]  # not a list, or a whole section
            continue
        name, kind = lists[given]
        if any(word.startswith(f"{name}=") for word in result):
            raise UserError(f"{given} is given twice", fix=f"Write its values one after the other: {given} A B")
        if (value := " ".join(values)).lstrip().startswith("["):
            result.append(f"{name}={value}")
        else:
            result.append(f"{name}={json.dumps(values) if kind == 'list[str]' else '[' + ', '.join(values) + ']'}")
    return result


def _config_files(words: list[str]) -> list[Path]:
    pairs = zip(words, [*words[1:], ""], strict=True)
    return [Path(w.partition("=")[2] or after) for w, after in pairs if w == "--config" or w.startswith("--config=")]


def _known_keys(parser: ArgumentParser) -> set[str]:
    return {action.dest for action in parser._actions} - {"help", "config"}


def check_keys(path: Path, known: set[str]) -> None:
    """Raise for a key of a YAML config that no option has, with its line and the nearest known key.

    Raises:
        UserError: no such file, no YAML mapping, or an unknown key.
    """
    try:
        documents = list(yaml.compose_all(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UserError(f"cannot read the config: {error.strerror}", where=path) from None
    except yaml.YAMLError as error:
        raise UserError(f"not YAML: {' '.join(str(error).split())}", where=path) from None
    if not documents or not isinstance(documents[0], yaml.MappingNode):
        raise UserError("not a mapping", where=path, expected="key: value lines")

    def walk(node: yaml.MappingNode, prefix: str) -> None:
        for key, value in node.value:
            name = f"{prefix}{key.value}"
            below = {k for k in known if k.startswith(name + ".")}
            if name not in known and not below:
                siblings = {k[len(prefix) :].split(".")[0] for k in known if k.startswith(prefix)}
                where = f"{path}:{key.start_mark.line + 1}"
                raise UserError(f"unknown key {name!r}", where=where, fix=nearest(key.value, siblings))
            for text in _scalars(value):
                refuse_half_characters(text, f"{path}:{key.start_mark.line + 1}")
            if below and isinstance(value, yaml.MappingNode):
                walk(value, name + ".")

    walk(documents[0], "")


def _scalars(node: yaml.Node) -> Iterator[str]:
    """The texts in a YAML node."""
    for item in node.value if isinstance(node, yaml.CollectionNode) else ():
        for part in item if isinstance(item, tuple) else (item,):
            yield from _scalars(part)
    if isinstance(node, yaml.ScalarNode):
        yield node.value


if __name__ == "__main__":
    main()
