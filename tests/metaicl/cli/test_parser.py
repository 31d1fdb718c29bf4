"""The parser that a command's options make: switches, lists, and argparse's complaints in our words."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from metaicl.cli.main import parse
from metaicl.cli.parser import Command, Parser, fill, metavar, refuse_unknown
from task_suites.core.errors import UserError
from task_suites.core.ranges import Count


def test_switches_need_no_value():
    _, config = parse(["quickstart", "--json", "--full", "--suite", "x"])
    assert (config.json, config.full, config.suite.names) == (True, True, ["x"])
    _, config = parse(["evaluate", "--stratified", "--no-progress"])
    assert (config.protocol.stratified, config.progress) == (True, False)
    with pytest.raises(UserError, match="unexpected word '3'"):
        parse(["evaluate", "--stratified", "3"])
    with pytest.raises(UserError, match="--stratified takes no value, but is given 'true'"):
        parse(["evaluate", "--stratified=true"])


def test_a_list_is_several_words_or_one_in_brackets():
    words = ["--tasks", "mood, or so", "--forms=tags", "--allow", "[a, b]", "--folds", "3"]
    _, config = parse(["suites", "export", *words])
    suite = config.suite
    assert (suite.tasks, suite.forms, suite.allow, config.folds) == (["mood, or so"], ["tags"], ["a", "b"], [3])
    assert parse(["evaluate", "--methods", "icl", "--k", "4"])[1].methods == ["icl"]


@dataclass(frozen=True)
class Made:
    """Make things.

    Attributes:
        what: the things, 100 % of them.
        many: how many.
        rate: the rate.
        quiet: say nothing.
        kind: which kind.
        options: more of them.
        where: the folder.
    """

    what: list[str] = field(default_factory=list)
    many: int = 3
    rate: float | None = None
    quiet: bool = False
    kind: Literal["a", "b"] = "a"
    options: dict[str, int] = field(default_factory=lambda: {"x": 1})
    where: Path | None = None


def filled(*positional: str) -> Parser:
    parser = Parser(prog="made", allow_abbrev=False)
    fill(parser, Command(Made, print, "made", positional))
    return parser


def test_only_options_that_are_given_are_found():
    assert vars(filled().parse_args([])) == {"config": None, "print_config": False}
    found = vars(filled("what").parse_args(["a", "b", "--many", "4", "--no-quiet", "--options", "x=1", "y=2"]))
    assert {n: v for n, v in found.items() if "config" not in n} == {
        "what": ["a", "b"],
        "many": "4",
        "quiet": False,
        "options": ["x=1", "y=2"],
    }


def test_a_list_that_is_mentioned_twice_has_the_words_of_both():
    for parser in (filled(), filled("what")):
        assert parser.parse_args(["--what", "a", "b", "--what", "c"]).what == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--many"], "^--many needs a value$"),
        (["--quiet=yes"], "--quiet takes no value, but is given 'yes'. Write --quiet or --no-quiet."),
    ],
)
def test_a_complaint_is_in_our_words(words, message):
    with pytest.raises(UserError, match=message):
        filled().parse_args(words)


def test_the_help_text_has_each_options_words_its_values_and_its_default():
    shown = " ".join(filled("what").format_help().split())
    assert "the things, 100 % of them." in shown
    for part in ("--many N how many. (default: 3)", "--rate X", "{a,b}", "(default: x=1)", "--where PATH"):
        assert part in shown
    assert "--quiet, --no-quiet say nothing. (default: no)" in shown


@pytest.mark.parametrize(
    ("hint", "shown"),
    [
        (int, "N"),
        (float | None, "X"),
        (list[Path], "PATH"),
        (Literal["a", 3], "{a,3}"),
        (Count, "N"),
        (object, "VALUE"),
    ],
)
def test_a_type_is_shown_by_what_stands_for_its_values(hint, shown):
    assert metavar(hint) == shown


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--manny=3", "unknown option --manny. Did you mean many"),
        ("true", "A switch takes no value"),
        ("loose", "unexpected word 'loose'. --help shows"),
    ],
)
def test_words_that_no_option_takes_are_refused(word, message):
    with pytest.raises(UserError, match=message):
        refuse_unknown([word], ["many", "quiet"])
    with pytest.raises(UserError, match="A suite is named after --suite"):
        refuse_unknown(["table:mood.yaml"], ["suite"])


def test_what_is_given_by_its_position_may_be_given_by_its_name_and_once():
    parser = filled("many")
    for words in (["4"], ["--many", "4"]):
        assert vars(parser.parse_args(words))["many"] == "4"
    for words in (["4", "--many", "5"], ["--many", "5", "4"]):
        with pytest.raises(UserError, match=r"^many is given by its position and by its name\. Give it once"):
            filled("many").parse_args(words)
    assert "--many" not in parser.format_help()
