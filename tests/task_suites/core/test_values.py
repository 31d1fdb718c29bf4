"""A value has the type that its option declares, or is refused by name."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from task_suites.core.errors import UserError
from task_suites.core.flat import build, flat, options_of, section
from task_suites.core.ranges import Count, Natural, check_ranges
from task_suites.core.values import Loader, Word, as_yaml, plain, value_of
from task_suites.formats.presets import PRESETS
from task_suites.formats.prompt_format import PromptFormat, preset

VALUES = {
    bool: st.booleans(),
    int: st.integers(),
    float: st.floats(allow_nan=False),
    str: st.text(),
    list[int]: st.lists(st.integers()),
    list[int | str]: st.lists(st.integers() | st.text(st.characters(categories=["L"]), min_size=1)),
    dict[str, float]: st.dictionaries(st.text(), st.floats(allow_nan=False)),
    dict[str, list[int]]: st.dictionaries(st.text(), st.lists(st.integers())),
    int | None: st.none() | st.integers(),
    Literal["a", "b"]: st.sampled_from(["a", "b"]),
}
TYPED = st.sampled_from(list(VALUES)).flatmap(lambda hint: st.tuples(st.just(hint), VALUES[hint]))


@given(TYPED)
def test_a_value_of_the_type_is_taken_as_it_is(typed):
    hint, value = typed
    assert value_of(value, hint, "x") == value


@given(st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.none())
def test_a_word_is_read_as_its_type(value):
    hint = type(value) | None if value is not None else int | None
    word = Word(yaml.safe_dump(value).removesuffix("\n...\n").strip())
    found = value_of(word, hint, "x")
    assert found == value and type(found) is type(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_way_to_write_a_number_is_one(value):
    for text in (repr(value), f"{value:e}", f"{value:.17g}"):
        assert math.isclose(value_of(Word(text), float, "x"), float(text))
        assert yaml.load(f"a: {text}", Loader)["a"] == float(text)


@given(
    st.integers(0, 10**6), st.sampled_from(["0{}", "0x{}", "0b{}", "0o{}", "{}:30", "+0{}", "{}:30.5"]), st.booleans()
)
def test_what_is_not_a_decimal_number_is_refused_and_never_read_as_another_number(value, form, whole):
    text = form.format(value)
    with pytest.raises(UserError, match="Numbers are written in decimal"):
        value_of(Word(text), int if whole else float, "x")
    assert value_of([Word(f"a={text}")], dict[str, Any], "x") == {"a": text}  # of any type: a text


@given(st.dictionaries(st.text("abc", min_size=1), st.integers(0, 9), min_size=1), st.data())
def test_a_name_given_twice_is_refused_however_a_mapping_is_written(mapping, data):
    pairs = [*mapping.items(), (data.draw(st.sampled_from(list(mapping))), 3)]
    for given_ in (
        [Word(f"{key}={value}") for key, value in pairs],
        [Word("{" + ", ".join(f"{k}: {v}" for k, v in pairs) + "}")],
    ):
        for hint in (dict[str, int], dict[str, Any]):
            with pytest.raises(UserError, match="twice"):
                value_of(given_, hint, "x")
    assert value_of([Word(f"{key}={value}") for key, value in mapping.items()], dict[str, int], "x") == mapping


@pytest.mark.parametrize(
    ("given", "hint", "message"),
    [
        ("1e-3", float, "x must be a number, but is '1e-3'. Write it without quotes."),
        ([Word("icl={shown: 2}"), Word("icl.length=sum")], dict[str, dict[str, Any]], "x icl is given twice, as icl="),
        (Word("many"), int, "x must be a whole number, but is 'many'"),
        (Word("2.5"), int, "x must be a whole number, but is 2.5"),
        (True, int, "x must be a whole number, but is True"),
        ("3", int, "x must be a whole number, but is '3'"),
        (Word("fast"), float, "x must be a number, but is 'fast'"),
        (3, str, "x must be text, but is 3"),
        (Word("c"), Literal["a", "b"], "x must be a or b, but is 'c'"),
        ([Word("a")], dict[str, Any], "x must be NAME=VALUE words or a mapping, but one word is 'a'"),
        ([Word("a=b")], dict[str, int], "x.a must be a whole number, but is 'b'"),
        (3, dict[str, int], "x must be a mapping, but is 3"),
        (Word("["), list[int], "x cannot be read as YAML"),
        ([Word("1"), Word("b")], list[int], "x must be a whole number, but is 'b'"),
    ],
)
def test_another_type_is_refused_by_name(given, hint, message):
    with pytest.raises(UserError) as refused:
        value_of(given, hint, "x")
    assert message in str(refused.value)


def test_words_make_lists_and_mappings_also_in_one_word():
    assert value_of([Word("4"), Word("16")], list[int], "k") == value_of([Word("[4, 16]")], list[int], "k") == [4, 16]
    pairs = [Word("lr=1e-3"), Word("name=x=y"), Word("deep=[1, 2]")]
    assert value_of(pairs, dict[str, Any], "o") == {"lr": 1e-3, "name": "x=y", "deep": [1, 2]}
    assert value_of([Word("{a: 1}")], dict[str, Any], "o") == {"a": 1}
    assert value_of({"a": "1"}, dict[str, Any], "o") == {"a": "1"}
    assert value_of({"a": [Word("1"), "1"]}, dict[str, Any], "o") == {"a": [1, "1"]}


@pytest.mark.parametrize("name", PRESETS)
def test_a_format_is_a_name_then_fields_or_a_mapping_of_them(name):
    assert value_of([Word(name)], PromptFormat, "format") == preset(name)
    assert value_of(plain(preset(name)), PromptFormat, "format") == preset(name)
    assert value_of(name, PromptFormat, "format") == preset(name)


@dataclass(frozen=True)
class Part:
    """A section.

    Attributes:
        k: how many.
        steps: how long.
    """

    k: Count = 1
    steps: Natural = 0

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class Whole:
    """A configuration.

    Attributes:
        folder: where it is.
        first: a section.
        second: another
    """

    folder: Path = Path("here")
    first: Part = section(Part)
    second: Part = section(lambda: Part(k=5), k="second_k", steps="second_steps")


def test_each_option_has_one_flat_name_with_its_default_and_its_meaning():
    found = options_of(Whole)
    assert {name: option.default for name, option in found.items()} == {
        "folder": Path("here"), "k": 1, "steps": 0, "second_k": 5, "second_steps": 0,
    }  # fmt: skip
    assert found["second_k"].about == "how many." and found["second_k"].group == "another"


@given(st.integers(1, 99), st.integers(0, 99), st.integers(1, 99))
def test_a_configuration_is_built_again_from_its_flat_values(k, steps, second):
    whole = Whole(first=Part(k, steps), second=Part(second))
    assert build(Whole, flat(whole)) == whole
    assert build(Whole, {"second_steps": steps}).second == Part(5, steps)


def test_an_error_has_the_flat_name():
    for given_, message in (({"second_k": 0}, "second_k must be"), ({"third": 1}, "unknown option third")):
        with pytest.raises(UserError) as refused:
            build(Whole, given_)
        assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (
            ["finetune.steps=3", "finetune.lr=0.1", "icl.length=sum"],
            {"finetune": {"steps": 3, "lr": 0.1}, "icl": {"length": "sum"}},
        ),
        (["my.module:Name.steps=3"], {"my.module:Name": {"steps": 3}}),
        (["my.module:Name={steps: 3}"], {"my.module:Name": {"steps": 3}}),
        (["{icl: {length: sum}}"], {"icl": {"length": "sum"}}),
    ],
)
def test_options_of_several_methods_are_words_with_the_method_before_the_name(words, value):
    hint = dict[str, dict[str, Any]]
    assert value_of([Word(word) for word in words], hint, "--method_options") == value


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(), st.lists))
def test_yaml_that_is_written_is_read_back_by_the_reader_of_configurations(value):
    assert yaml.load(as_yaml(value), Loader) == value


@pytest.mark.parametrize("text", ["1e3", "-1E5", "1e-4", "0_1", "010", "1:30", "2020-01-01", "a\x85b", "on"])
def test_a_text_that_looks_like_a_number_stays_a_text_in_every_reader(text):
    for loader in (Loader, yaml.SafeLoader):
        assert yaml.load(as_yaml({text: text}), loader) == {text: text}
