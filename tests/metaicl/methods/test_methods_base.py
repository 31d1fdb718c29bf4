"""What a method's class has to say and do, whoever wrote it."""

from __future__ import annotations

from typing import Any

import pytest
from option_methods import Parent

from metaicl.methods import METHODS, method_class
from metaicl.methods.base import Method
from metaicl.methods.baselines.chance import MajorityAnswer
from metaicl.methods.options import option_types
from metaicl.methods.registry import name_of
from task_suites.core.docstrings import documented
from task_suites.core.errors import UserError
from task_suites.formats.prompt_format import PromptFormat


@pytest.mark.parametrize("name", METHODS)
def test_a_method_of_the_registry_says_what_it_is_and_what_each_option_may_be(name):
    method = method_class(name)
    assert name_of(method) == name and method.label and method.note
    for option, kind in option_types(method.Config).items():
        assert documented(method.Config).get(option), option
        assert kind is bool or kind not in (int, float, str), f"{option}: any {kind} is allowed"
    with pytest.raises(UserError, match=f"method {name} has no option 'no_such'"):
        method.configured({"no_such": 1})


def test_no_two_methods_have_one_label():
    labels = [method_class(name).label for name in METHODS]
    assert len(set(labels)) == len(METHODS)


class Half(Method):
    """It does not say how it adapts."""


def test_a_class_without_a_way_to_adapt_is_refused(frozen):
    with pytest.raises(UserError, match="test_methods_base:Half does not say how to adapt"):
        Half.build(frozen, PromptFormat())


class Broken(Parent):
    def __init__(self, backbone: Any, form: Any, config: Any):
        super().__init__(backbone, form, config)
        None + self.config.steps  # type: ignore[operator]


def test_a_type_error_inside_of_a_method_is_raised(frozen):
    with pytest.raises(TypeError, match="unsupported operand"):
        Broken.build(frozen, PromptFormat())


def test_what_a_class_says_of_itself_is_not_said_of_its_subclasses():
    assert (Parent.label, Parent.note, Parent.paper) == ("Parent", "", "")
    assert Parent.weights == MajorityAnswer.weights
