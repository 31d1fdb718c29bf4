"""Every numeric option declares its range, and a value outside of it is refused where it is given."""

from __future__ import annotations

import dataclasses
import inspect
import math
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

import eval.config
import metaicl.training.config
from eval.config import Protocol
from metaicl.cli.main import parse
from metaicl.cli.suites import Suites
from metaicl.lm.config import BackboneConfig
from metaicl.methods import METHODS, method_class
from metaicl.methods.options import option_types
from metaicl.training.config import TrainerConfig
from task_suites.core.errors import UserError
from task_suites.core.ranges import Positive, Range, Share, check_ranges, ranges_of
from task_suites.formats.prompt_format import PromptFormat
from task_suites.sources import SuiteConfig

CONFIGS = [
    cls
    for module in (metaicl.training.config, eval.config)
    for cls in vars(module).values()
    if inspect.isclass(cls) and dataclasses.is_dataclass(cls) and cls.__module__ == module.__name__
] + [PromptFormat, SuiteConfig, Suites]
OUTPUTS = {"Adapters"}  # made by a configuration from its own checked values


def is_numeric(hint: Any) -> bool:
    if str in get_args(hint) and get_origin(hint) is not dict:  # a position or a text: checked where it is looked up
        return False
    return hint in (int, float) or any(map(is_numeric, get_args(hint)))


def numeric(owner: Any) -> dict[str, Any]:
    """The type hints of numeric fields or arguments, by name."""
    hints = get_type_hints(owner, include_extras=True)
    return {name: hint for name, hint in hints.items() if name != "return" and is_numeric(hint)}


OPTIONS = [(cls, name) for cls in CONFIGS if cls.__name__ not in OUTPUTS for name in numeric(cls)]
METHOD_OPTIONS = [
    (config, option)
    for config in sorted({method_class(name).Config for name in METHODS}, key=lambda config: config.__qualname__)
    for option, kind in option_types(config).items()
    if is_numeric(kind)
]


def outside(kind: type, allowed: Range) -> list[Any]:
    """Values that a range does not hold."""
    bounds = [b for b in (allowed.above, allowed.below) if b is not None]
    beyond = [(b or 0) - 1 for b in (allowed.least, allowed.above) if b is not None]
    beyond += [b + 1 for b in (allowed.most, allowed.below) if b is not None]
    return [math.nan, math.inf, -math.inf, True, "much", *([1.5] if kind is int else []), *bounds, *beyond]


def needed(cls: type) -> dict[str, Any]:
    """Values of the fields that have no default."""
    return {"action": "show"} if cls is Suites else {}


def given_as(hint: Any, value: Any) -> Any:
    """The value in the form of the option: by itself, in a list, or in a dictionary."""
    text = str(hint)
    return [value] if text.startswith("list") else {"a task": value} if text.startswith("dict") else value


def test_there_are_options_to_look_at():
    assert {cls.__name__ for cls, _ in OPTIONS} >= {
        "TrainerConfig",
        "Protocol",
        "SuiteConfig",
        "PromptFormat",
        "BenchmarkRun",
    }
    assert len(OPTIONS) > 45 and len(METHOD_OPTIONS) > 100


@pytest.mark.parametrize(("cls", "name"), OPTIONS, ids=lambda x: getattr(x, "__name__", x))
def test_every_numeric_option_of_a_configuration_refuses_what_is_outside_its_range(cls, name):
    hint = numeric(cls)[name]
    ((kind, allowed),) = ranges_of(hint)
    for value in outside(kind, allowed):
        with pytest.raises(UserError, match=rf"{name} must be .*, but is {value!r}\. It means: \w"):
            cls(**needed(cls), **{name: given_as(hint, value)})


@pytest.mark.parametrize(("cls", "name"), METHOD_OPTIONS, ids=lambda x: getattr(x, "__qualname__", x))
def test_every_numeric_option_of_a_method_refuses_what_is_outside_its_range(cls, name):
    ((kind, allowed),) = ranges_of(numeric(cls)[name])
    for value in outside(kind, allowed):
        with pytest.raises(UserError, match=rf"\.{name} must be .*, but is {value!r}\. It means: \w"):
            cls(**{name: value})


@given(value=st.floats() | st.integers())
def test_a_value_is_taken_if_and_only_if_it_is_in_the_range(value):
    @dataclasses.dataclass
    class Config:
        natural: Annotated[int, Range(least=0)] | None = None
        positive: Annotated[float, Range(above=0)] | None = None
        share: Annotated[float, Range(least=0, most=1)] | None = None

    finite = math.isfinite(value)
    for name, right in (
        ("natural", isinstance(value, int) and value >= 0),
        ("positive", finite and value > 0),
        ("share", finite and 0 <= value <= 1),
    ):
        config = Config(**{name: value})
        if right:
            check_ranges(config)
        else:
            with pytest.raises(UserError, match=f"^{name} must be"):
                check_ranges(config)


def test_the_error_says_what_is_allowed_and_what_the_option_is():
    with pytest.raises(UserError) as error:
        TrainerConfig(weight_averaging=1.5)
    assert str(error.value).startswith("weight_averaging must be between 0 and 1, but is 1.5. It means: the fraction")
    with pytest.raises(UserError, match=r"max_steps must be a whole number, at least 1, but is 2.5"):
        TrainerConfig(max_steps=2.5)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"k must be at least 1, but is 0"):
        Protocol(k=[4, 0])
    with pytest.raises(UserError, match=r"mixing_weights must be at least 0, but is nan"):
        TrainerConfig(mixing="weights", mixing_weights={"a": 1.0, "b": math.nan})
    assert str(Range(above=0, most=2)) == "above 0 and at most 2"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--learning_rate", "-0.1"], "learning_rate must be above 0, but is -0.1"),
        (["train", "--learning_rate", ".nan"], "learning_rate must be above 0, but is nan"),
        (["train", "--lora_r", "0"], "lora_r must be at least 1, but is 0"),
        (["evaluate", "--k", "[-4]"], "k must be at least 1, but is -4"),
        (["train", "--max_words", "-1"], "max_words must be at least 0, but is -1"),
        (["benchmark", "--budget_seconds", "0"], "budget_seconds must be above 0, but is 0.0"),
        (["tune", "--trials", "0"], "trials must be at least 1, but is 0"),
    ],
)
def test_a_command_refuses_a_value_outside_its_range_before_anything_runs(words, message):
    with pytest.raises(UserError, match=rf"^{message}"):
        parse(words)


def test_an_option_of_a_method_is_refused_by_its_name_before_the_method_is_built(frozen):
    with pytest.raises(UserError, match=r"ProtoNet.scale must be above 0, but is -3. It means: the factor of"):
        method_class("protonet").build(frozen, PromptFormat(), {"scale": -3})
    with pytest.raises(UserError, match=r"has no option 'scales'. Did you mean scale"):
        method_class("protonet").build(frozen, PromptFormat(), {"scales": 3})


def test_defaults_are_in_their_ranges_and_unset_options_are_no_numbers():
    for cls in CONFIGS:
        if cls.__name__ not in OUTPUTS:
            cls(**needed(cls))
    assert BackboneConfig().lora_r is None
    assert [*ranges_of(Positive)] == [(float, Range(above=0))] and [*ranges_of(Share | None)] == [(float, Range(0, 1))]
