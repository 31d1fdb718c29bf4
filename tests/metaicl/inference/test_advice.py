"""The way out that an error shows is taken: it must change the outcome."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from metaicl.inference.questions import read_questions
from task_suites.core.errors import UserError
from task_suites.core.json_files import read_json_lines
from task_suites.core.line_store import LineStore
from task_suites.sources import open_suite

DEMOS = [{"input": f"thing {i}", "output": ("up", "down")[i % 2]} for i in range(4)]
CHOICE = [{"input": "sky?", "output": "blue", "options": ["blue", "red"]}]


@dataclass(frozen=True)
class Case:
    """A bad input, and what a user does who follows the error.

    Attributes:
        make: writes the input into a folder.
        read: reads it.
        advice: what the error must say; its groups go to `follow`.
        follow: does what it says.
    """

    make: Callable[[Path], object]
    read: Callable[[Path], object]
    advice: str
    follow: Callable[..., object]


def lines(path: Path, rows: list[Any]) -> None:
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows), encoding="utf-8")


def asked(demos: list[Any], *inputs: Any) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        lines(folder / "d.jsonl", demos)
        lines(folder / "i.jsonl", list(inputs))

    return make


def questions(folder: Path) -> object:
    return read_questions(folder / "d.jsonl", folder / "i.jsonl")


def table(cells: list[Any], **keys: Any) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        lines(folder / "x.jsonl", [{"text": f"t{i}", "label": cell} for i, cell in enumerate(cells)])
        base = {"train": "x.jsonl", "test": "x.jsonl", "input": "text", "output": "label"}
        write_yaml(folder, {**base, **keys})

    return make


def write_yaml(folder: Path, keys: dict[str, Any]) -> None:
    (folder / "x.yaml").write_text(yaml.safe_dump(keys, sort_keys=False), encoding="utf-8")


def examples(folder: Path) -> object:
    return open_suite(f"table:{folder / 'x.yaml'}")["x"].examples("train")


def set_key(key: str) -> Callable[[Path, str], object]:
    def follow(folder: Path, shown: str) -> None:
        write_yaml(folder, {**yaml.safe_load((folder / "x.yaml").read_text()), key: yaml.safe_load(shown)})

    return follow


def set_field(key: str) -> Callable[[Path, str], object]:
    """Write a value into the single line of inputs, as the error shows it."""

    def follow(folder: Path, shown: str) -> None:
        row = json.loads((folder / "i.jsonl").read_text())
        lines(folder / "i.jsonl", [{**row, key: json.loads(shown.replace(", ...]", ', "another"]'))}])

    return follow


def without_options(folder: Path) -> None:
    row = json.loads((folder / "i.jsonl").read_text())
    lines(folder / "i.jsonl", [{k: v for k, v in row.items() if k != "options"}])


def demos_with_options(folder: Path) -> None:
    rows = [json.loads(line) for line in (folder / "d.jsonl").read_text().splitlines()]
    options = json.loads((folder / "i.jsonl").read_text())["options"]
    lines(folder / "d.jsonl", [{**row, "options": [*dict.fromkeys([row["output"], *options])]} for row in rows])


def without_line(name: str) -> Callable[[Path, str], object]:
    def follow(folder: Path, number: str) -> None:
        kept = (folder / name).read_text().splitlines()
        lines(folder / name, kept[: int(number) - 1] + kept[int(number) :])

    return follow


def add_label(folder: Path, word: str) -> None:
    keys = yaml.safe_load((folder / "x.yaml").read_text())
    write_yaml(folder, {**keys, "labels": {**keys["labels"], json.loads(word): "other"}})


def quote_keys(folder: Path) -> None:
    text = (folder / "x.yaml").read_text()
    (folder / "x.yaml").write_text(re.sub(r"\b(yes|no):", r'"\1":', text))


def yes_and_no(folder: Path) -> None:
    table(["yes", "no"], labels={"a": "b", "c": "d"})(folder)
    text = (folder / "x.yaml").read_text()
    (folder / "x.yaml").write_text(text[: text.index("labels")] + "labels: {yes: good, no: bad}\n")


BASE = {"train": "x.jsonl", "test": "x.jsonl", "input": "text", "output": "label"}
BROKEN = '{"a": 1}\n\n{"a": 2}\n'
RANKS = {"labels": ["poor", "fair", "good"]}
CASES = {
    "a string of options": Case(
        asked(CHOICE, {"input": "x", "options": "a"}), questions, r'"options": (\[.*?\])', set_field("options")
    ),
    "options that are numbers": Case(
        asked(CHOICE, {"input": "x", "options": [1, 2]}), questions, r'"options": (\[.*?\])', set_field("options")
    ),
    "an input that is a number": Case(asked(DEMOS, {"input": 7}), questions, r'quotes: (".*?")', set_field("input")),
    "no options": Case(
        asked(CHOICE, {"input": "x"}),
        questions,
        r'Add "options": (\[.*?\])',
        lambda folder, shown: set_field("options")(folder, '["a", "b"]'),
    ),
    "other options, left out": Case(
        asked(DEMOS, {"input": "x", "options": ["a", "b"]}), questions, r"Leave the options out", without_options
    ),
    "other options, given to demonstrations": Case(
        asked(DEMOS, {"input": "x", "options": ["a", "b"]}),
        questions,
        r"Give each demonstration its options",
        demos_with_options,
    ),
    "labels that differ by case, made a choice": Case(
        asked([*DEMOS, {"input": "z", "output": "Up"}], {"input": "x", "options": ["up", "Up", "down"]}),
        questions,
        r"Give each demonstration its options",
        demos_with_options,
    ),
    "an empty line among others": Case(
        lambda folder: (folder / "r.jsonl").write_text(BROKEN),
        lambda folder: list(read_json_lines(folder / "r.jsonl")),
        r"r.jsonl:(\d+): empty line.*Delete the line",
        without_line("r.jsonl"),
    ),
    "a damaged line of finished cells": Case(
        lambda folder: (folder / "c.jsonl").write_text('{"a": 1}\n{"a":\n{"a": 2}\n'),
        lambda folder: list(LineStore(folder / "c.jsonl").read()),
        r"c.jsonl:(\d+): not JSON.*Delete the line",
        without_line("c.jsonl"),
    ),
    "numbers counted from 1": Case(
        table([1, 3], **RANKS), examples, r"labels: (\{1:.*?\}) where they count from 1", set_key("labels")
    ),
    "numbers counted from 0": Case(
        table([0, 2], **RANKS), examples, r"labels: (\{0:.*?\}) where from 0", set_key("labels")
    ),
    "booleans": Case(table([True, False], labels=["no", "yes"]), examples, r"labels: (\{.*?\})", set_key("labels")),
    "a cell that the map lacks": Case(
        table(["a", "b", "c"], labels={"a": "x", "b": "y"}), examples, r'Add (".*?") to labels', add_label
    ),
    "keys that YAML reads as booleans": Case(yes_and_no, examples, r"Put the keys of labels in quotes", quote_keys),
    "an empty cell": Case(table(["a", "b", ""], labels="*"), examples, r'"unsound: (skip)"', set_key("unsound")),
    "a label that the list lacks": Case(
        table(["a", "b", "c"], labels=["a", "b"]), examples, r'"unsound: (skip)"', set_key("unsound")
    ),
    "a boolean among options": Case(
        lambda folder: (
            lines(folder / "x.jsonl", [{"text": "a", "label": True, "o": ["x", "y"]}]),
            write_yaml(folder, {**BASE, "options": "o"}),
        ),
        examples,
        r"option_keys: (\[.*?\])",
        set_key("option_keys"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_way_out_that_an_error_shows_works(tmp_path, name):
    case = CASES[name]
    case.make(tmp_path)
    with pytest.raises(UserError) as raised:
        case.read(tmp_path)
    found = re.search(case.advice, str(raised.value))
    assert found, str(raised.value)
    case.follow(tmp_path, *found.groups())
    case.read(tmp_path)
