"""What a method's class has to say and do, whoever wrote it."""

from __future__ import annotations

from typing import Any

import pytest
from option_methods import Parent

from eval.answering import answer_episode
from metaicl.inference.fitted import FittedMethod
from metaicl.methods import METHODS, method_class
from metaicl.methods.base import Method
from metaicl.methods.baselines.chance import MajorityAnswer
from metaicl.methods.options import option_types
from metaicl.methods.registry import name_of
from metaicl.testing import check_method, draw, options_task
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


class Unfinished(Method):
    """Its `adapt` gives no predictor, and it has no loss although it says that it is meta-trained."""

    meta_trained = True
    weights = "frozen"

    def adapt(self, task: Any, support: Any) -> Any:
        self.check_serves(task)
        return self


def test_what_adapt_returns_has_to_be_a_predictor_wherever_a_method_is_used(frozen):
    method, episode = Unfinished.build(frozen, PromptFormat()), draw(options_task())
    uses = (
        lambda: method.predictor_for(episode.task, episode.support),
        lambda: answer_episode(method, episode),
        lambda: FittedMethod.around(method, episode.support, ("fruit", "tool")).answers(episode.queries),
        lambda: check_method(f"{__name__}:Unfinished"),
    )
    for use in uses:
        with pytest.raises(UserError, match=r"adapt of method .*:Unfinished returns no predictor; found Unfinished"):
            use()


def test_a_method_that_says_that_it_is_meta_trained_needs_a_loss(frozen):
    with pytest.raises(UserError, match=r"method .*:Unfinished sets meta_trained, but has no forward. Define forward"):
        Unfinished.build(frozen, PromptFormat())([draw(options_task())])
