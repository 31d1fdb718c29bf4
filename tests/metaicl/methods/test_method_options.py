"""Options that a method's class does not take are told before it is called, and a bug inside of it is raised."""

from __future__ import annotations

from typing import Any

import pytest

from metaicl.methods import METHODS, MethodSpec
from metaicl.methods.base import Method
from metaicl.methods.options import check_options, parameters
from task_suites.core.errors import UserError
from task_suites.formats.prompt_format import PromptFormat
from task_suites.sources import load_named


class Parent(Method):
    def __init__(self, backbone: Any, form: Any, rate: float = 0.1, steps: int = 3, hidden: str = "x"):
        super().__init__(backbone, form)
        self.rate, self.steps = rate, steps

    def adapt(self, task: Any, support: Any) -> Any:
        raise AssertionError


class Child(Parent):
    """It names one option itself, fixes another, and passes the rest on."""

    def __init__(self, backbone: Any, form: Any, must: int, deep: bool = False, steps: int = 5, **options: Any):
        super().__init__(backbone, form, steps=steps, **options)


class Broken(Parent):
    def __init__(self, backbone: Any, form: Any):
        super().__init__(backbone, form)
        None + self.steps  # type: ignore[operator]


def test_options_are_those_of_the_class_and_of_the_parents_that_it_passes_them_to():
    assert {p.name: p.default for p in parameters(Child) if p.name != "must"} == {
        "deep": False,
        "steps": 5,
        "rate": 0.1,
        "hidden": "x",
    }
    assert [p.name for p in parameters(Broken)] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"must": 1, "stepz": 2}, "method m has no option 'stepz'. Did you mean steps"),
        ({"must": 1, "backbone": 2}, "method m has no option 'backbone'"),
        ({"must": 1, "rate": "fast"}, r"option rate of method m .*found 'fast' \(str\); expected float"),
        ({"must": 1, "steps": 2.5}, "option steps of method m .*expected int"),
        ({"must": True}, "option must of method m .*expected int"),
        ({"must": 1, "deep": 1}, "option deep of method m .*expected bool"),
        ({"deep": True}, "method m needs the option 'must'"),
    ],
)
def test_a_wrong_option_is_named(options, message):
    with pytest.raises(UserError, match=message):
        check_options("m", Child, options)


def test_options_that_are_right_pass():
    check_options("m", Child, {"must": 1, "deep": True, "rate": 1, "steps": 2, "hidden": "y"})


@pytest.mark.parametrize("name", METHODS)
def test_the_options_that_the_registry_gives_are_taken(name):
    spec = METHODS[name]
    check_options(name, load_named(spec.target), spec.options)
    with pytest.raises(UserError, match=f"method {name} has no option 'no_such'"):
        check_options(name, load_named(spec.target), {**spec.options, "no_such": 1})


class Half(Method):
    """It does not say how it adapts."""


def test_a_class_without_a_way_to_adapt_is_refused(frozen):
    with pytest.raises(UserError, match="test_method_options:Half does not say how to adapt"):
        MethodSpec("test_method_options:Half", "Half").build(frozen, PromptFormat())


def test_a_type_error_inside_of_a_method_is_raised(frozen):
    spec = MethodSpec("test_method_options:Broken", "Broken")
    with pytest.raises(TypeError, match="unsupported operand"):
        spec.build(frozen, PromptFormat())
