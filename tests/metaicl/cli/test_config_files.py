"""A configuration file: options one a line, each mistake with its file and line, and flags over it."""

from __future__ import annotations

from typing import get_origin

import pytest
from commands import fails
from hypothesis import given
from hypothesis import strategies as st

import metaicl.cli.main
from examples import examples
from metaicl.cli.config_files import read_config
from metaicl.cli.main import COMMANDS, command_of, main, parse
from metaicl.training.config import TrainRun
from metaicl.training.run import write_config
from task_suites.core.errors import UserError
from task_suites.core.flat import build, flat, options_of


def test_a_config_with_a_typo_names_file_line_and_nearest_key(capsys, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("method: metaicl\nmax_steps: 3\nsede: 4\n")
    assert f"{path}:3: unknown key 'sede'. Did you mean seed" in fails(capsys, "train", "--config", str(path))


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1\n", ""])
def test_a_config_that_is_no_mapping_is_refused(capsys, tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    assert str(path) in fails(capsys, "train", "--config", str(path))


def test_flags_go_over_the_config_file(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("run_name: from_file\nmax_steps: 3\nlearning_rate: 1e-3\n")
    command, config = parse(["train", "--config", str(path), "--max_steps", "7"])
    assert (command, config.run_name, config.trainer.max_steps, config.trainer.learning_rate) == (
        "train",
        "from_file",
        7,
        1e-3,
    )


PAIRS = [
    (command, name)
    for command in COMMANDS
    for name, option in options_of(command_of(command).config).items()
    if get_origin(option.hint) is dict
]


@pytest.mark.parametrize(("command", "name"), PAIRS)
def test_a_flag_with_pairs_keeps_those_of_the_file_that_it_does_not_give(monkeypatch, tmp_path, command, name):
    monkeypatch.setattr(metaicl.cli.main, "build", lambda cls, values: values)  # whatever a config says of these names
    path, nested = tmp_path / "c.yaml", (command, name) == ("evaluate", "method_options")
    path.write_text(f"{name}: " + ("{icl: {of_file: 1, of_both: 1}}" if nested else "{of_file: 1, of_both: 1}") + "\n")
    flags = [f"icl.{pair}" if nested else pair for pair in ("of_both=2", "of_flag=2")]
    found = parse([command, "--config", str(path), f"--{name}", *flags])[1][name]
    found = {
        pair: "".join(filter("12".__contains__, str(value)))
        for pair, value in (found["icl"] if nested else found).items()
    }
    assert found == {"of_file": "1", "of_both": "2", "of_flag": "2"}


def test_a_section_in_a_file_is_answered_with_its_options(capsys, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("method: metaicl\ntrainer:\n  lr: 1\n")
    with pytest.raises(SystemExit):
        main(["train", "--config", str(path)])
    answer = "c.yaml:2: unknown key 'trainer'. Write its options without it, a line each: Did you mean learning_rate?"
    assert answer in capsys.readouterr().err


def written(folder, text: str):
    path = folder / "c.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_values_have_the_types_of_their_options_and_a_quoted_one_is_a_text(tmp_path):
    path = written(tmp_path, "max_steps: 7\nlearning_rate: 1e-3\nprogress: no\nsuite: [a, b]\nrun_name: '12'\n")
    values, places = read_config(path, options_of(TrainRun))
    assert values == {
        "max_steps": 7,
        "learning_rate": 0.001,
        "progress": False,
        "suite": ["a", "b"],
        "run_name": "12",
    }
    assert places["progress"] == f"{path}:3"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("k: 3\nk: 4\n", r"c.yaml:2: key 'k' is given twice.*c.yaml:1"),
        ("run_name: a\nmax_steps: many\n", r"c.yaml:2: max_steps"),
        ('run_name: "\\ud83d"\n', r"c.yaml:1"),
        ('method_options:\n  steps: 1\n  lr: [1, "\\ud83d"]\n', r"c.yaml:1"),
        ("k: 3\nseed: 010\n", r"c.yaml:2: seed must be a whole number, but is '010'"),
        ("k: 3\nmixing_weights: {a: 1, a: 2}\n", r"c.yaml:2: mixing_weights .*'a' occurs twice"),
        ("method_options:\n  deep: {a: 1, a: 2}\n", r"c.yaml:1: method_options .*'a' occurs twice"),
        ("method_options: &x {a: *x}\n", r"c.yaml:1: the aliases make the file too large"),
        ("method_options: {[1]: 2}\n", r"c.yaml:1: method_options .*a key must be text"),
        ("k: 3\n---\nseed: 4\n", r"c.yaml:3: a second YAML document"),
        ("k: 3\n---\n", r"c.yaml:3: a second YAML document"),
        ("max_stepz: 3\n", r"c.yaml:1: unknown key 'max_stepz'. Did you mean max_steps"),
    ],
)
def test_each_mistake_has_its_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read_config(written(tmp_path, text), options_of(TrainRun))


@given(st.lists(st.sampled_from(["no", "2024", "1e3", "010", "2024-01-01", "a"]), min_size=1))
def test_words_of_a_list_are_what_they_are_on_the_command_line(tmp_path_factory, words):
    path = written(
        tmp_path_factory.mktemp("c"), f"tasks: [{', '.join(words)}]\nmethod_options: {{on: [no, 1e3, 0x1]}}\n"
    )
    values, _ = read_config(path, options_of(TrainRun))
    assert values == {"tasks": words, "method_options": {"on": [False, 1000.0, "0x1"]}}


def test_a_value_outside_its_range_is_placed_where_the_file_gave_it_and_not_where_a_flag_did(tmp_path):
    path = written(tmp_path, "queries: 2\nmax_steps: 0\n")
    with pytest.raises(UserError, match=f"{path}:2: max_steps must be at least 1"):
        parse(["train", "--config", str(path)])
    with pytest.raises(UserError, match=r"^max_steps must be at least 1, but is -3"):
        parse(["train", "--config", str(path), "--max_steps", "-3"])


def test_the_second_document_of_a_runs_configuration_is_not_read(tmp_path):
    values, _ = read_config(written(tmp_path, "k: 3\n---\nmanifest: {k: 4}\n"), options_of(TrainRun))
    assert values == {"k": 3}


def test_a_later_file_goes_over_an_earlier_one(tmp_path):
    (tmp_path / "more").mkdir()
    first, second = written(tmp_path, "k: 3\nqueries: 5\n"), written(tmp_path / "more", "k: 4\n")
    trainer = parse(["train", "--config", str(first), "--config", str(second)])[1].trainer
    assert (trainer.k, trainer.queries) == (4, 5)


TYPED = (
    "1e3",
    "1_000",
    "0x1f",
    "010",
    "12:30",
    "on",
    "no",
    "null",
    "~",
    "",
    "true",
    ".5",
    "1.",
    ".inf",
    "2020-01-01",
    "<<",
)
TEXTS = st.one_of(st.sampled_from(TYPED), st.text(st.characters(exclude_categories=["Cs"]), max_size=5))
VALUES = st.one_of(
    TEXTS, st.booleans(), st.integers(-5, 10**20), st.floats(allow_nan=False), st.lists(TEXTS, max_size=2)
)
NAMED = st.dictionaries(TEXTS, VALUES, max_size=2)


@examples(100)
@given(options=NAMED, words=st.dictionaries(TEXTS, TEXTS, max_size=2), tasks=st.lists(TEXTS, max_size=2), text=TEXTS)
def test_the_configuration_that_a_run_writes_is_read_back_as_it_was(options, words, tasks, text, tmp_path_factory):
    format_ = {"verbalizer": words, "separator": text, "answer": text}
    run = build(TrainRun, {"run_name": text, "method_options": options, "tasks": tasks, "format": format_})
    write_config(path := tmp_path_factory.mktemp("run") / "config.yaml", flat(run))
    assert build(TrainRun, read_config(path, options_of(TrainRun))[0]) == run
