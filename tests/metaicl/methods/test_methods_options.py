"""The options of a method are its `Config`: what it does not take is refused; a bug inside of a method is raised."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from option_methods import Parent

from metaicl.methods import METHODS, method_class
from metaicl.methods.base import Method
from metaicl.methods.baselines.chance import MajorityAnswer
from metaicl.methods.options import Options, described, fits, option_types
from task_suites.core.errors import UserError, UserTypeError
from task_suites.core.ranges import Count, Range


class Child(Parent):
    """It has an option that must be given, changes a default and takes one option away."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Parent.Config):
        must: int
        deep: bool = False
        steps: Count = 5
        mode: Literal["a", "b", 1] | None = None
        anything: Any = None
        numbers: list[int] = field(default_factory=list)
        hidden: str = field(default="x", init=False)


def test_options_are_those_of_the_class_and_of_its_parents():
    assert [*option_types(Child.Config)] == ["rate", "steps", "must", "deep", "mode", "anything", "numbers"]
    assert Child.configured({"must": 2}).to_dict() == {
        "rate": 0.1,
        "steps": 5,
        "must": 2,
        "deep": False,
        "mode": None,
        "anything": None,
        "numbers": [],
    }
    assert option_types(MajorityAnswer.Config) == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"must": 1, "stepz": 2}, r"method test_methods_options:Child has no option 'stepz'. Did you mean steps"),
        ({"must": 1, "backbone": 2}, "has no option 'backbone'"),
        ({"must": 1, "hidden": "y"}, "has no option 'hidden'"),
        (
            {"must": 1, "rate": "fast"},
            "Child.rate must be a number, but is 'fast'. It means: how fast it goes, which",
        ),
        ({"must": 1, "steps": 2.5}, "Child.steps must be a whole number, at least 1, but is 2.5. It means: how far"),
        ({"must": 1, "steps": 0}, "Child.steps must be at least 1, but is 0"),
        ({"must": True}, "Child.must must be a whole number, but is True"),
        ({"must": 1, "deep": 1}, "Child.deep must be true or false, but is 1"),
        ({"must": 1, "mode": "c"}, "Child.mode must be 'a' or 'b' or 1 or null, but is 'c'"),
        ({"must": 1, "mode": True}, "Child.mode must be 'a' or 'b' or 1 or null, but is True"),
        ({"must": 1, "numbers": 3}, "Child.numbers must be a list, but is 3"),
        ({"deep": True}, "method test_methods_options:Child needs the option 'must'"),
    ],
)
def test_a_wrong_option_is_named(options, message):
    with pytest.raises(UserError, match=message):
        Child.configured(options)


def test_options_that_are_right_pass():
    given = {"must": 1, "deep": True, "rate": 1, "steps": 2, "mode": 1, "anything": object, "numbers": [1]}
    assert {n: getattr(Child.configured(given), n) for n in given} == given
    assert "anything" not in Child.configured(given).to_dict()  # JSON cannot hold it


def test_a_method_without_a_config_has_no_options():
    with pytest.raises(UserError, match=r"method majority has no option 'steps'. It has no options"):
        MajorityAnswer.configured({"steps": 3})


class Undecorated(Method.Config):
    steps: int = 3


@dataclass(frozen=True)
class Parentless:
    steps: int = 3


@pytest.mark.parametrize("config", [Undecorated, Parentless])
def test_a_config_whose_options_would_not_be_checked_is_refused_where_the_class_is_made(config):
    with pytest.raises(UserTypeError, match=r"Forgotten.Config must be a frozen dataclass that inherits"):
        type("Forgotten", (MajorityAnswer,), {"Config": config})


PROBES = (None, True, False, -1, 0, 1, 2, 0.5, 1e9, "", "tokens", "mean", "last", "cosine", "refuse", "pmi", "all", [])


def takes(config: type[Options], option: str, value: Any) -> bool:
    try:
        config(**{option: value})
    except UserError:
        return False
    return True


def test_a_config_takes_no_value_of_an_inherited_option_that_its_parent_refuses():
    for config in {method_class(name).Config for name in METHODS}:
        for parent in (p for p in config.__mro__[1:] if issubclass(p, Options)):
            for option in option_types(parent).keys() & option_types(config).keys():
                wrong = [v for v in PROBES if takes(config, option, v) and not takes(parent, option, v)]
                assert not wrong, (config, option)


@example(value=1.0)
@example(value=True)
@given(value=st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()))
def test_a_value_fits_its_own_type_and_one_that_is_unset_only_where_that_is_allowed(value):
    kind = type(value)
    assert fits(value, kind) and fits(value, kind | None) and fits(value, Any)
    assert fits(value, float) == (kind in (int, float)) and fits(value, int) == (kind is int)
    assert fits(value, bool) == (kind is bool)
    assert fits(value, Literal[1, "a"]) == (value in (1, "a") and kind in (int, str))


def test_a_type_is_described_in_words():
    assert described(Annotated[float, Range(above=0, below=1)]) == "a number, above 0 and below 1"
    assert described(Count | None) == "a whole number, at least 1, or null"
    assert described(Literal["a", False]) == "'a' or false"
    assert described(list[int]) == "a list"
