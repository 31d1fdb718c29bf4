"""Methods by their names: options, unknown names, formats and methods of one's own."""

from __future__ import annotations

import pytest
from on_toys import build

from metaicl.methods import method_class
from metaicl.methods.baselines.chance import MajorityAnswer
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat


def test_options_that_a_method_does_not_take_are_refused():
    with pytest.raises(UserError, match="inner_step"):
        build("fomaml", inner_step=3)


def test_unknown_methods_offer_the_nearest_names():
    with pytest.raises(UserError, match="Did you mean metaicl"):
        method_class("metaicI")


class Shouting(PromptFormat):
    """A format of one's own: the answer in capitals."""

    @staticmethod
    def answer_text(example):
        return PromptFormat.answer_text(example).upper()


def test_a_format_of_ones_own_is_named_by_module_and_class(frozen):
    method = method_class("icl").build(frozen, PromptFormat(answer=" ->", target="test_methods:Shouting"))
    segments = method.form.demonstration(Example("a fig", "fruit", ("fruit", "tool")))
    assert [s.text for s in segments] == ["a fig ->", " FRUIT\n\n"]
    with pytest.raises(UserError, match="is not a PromptFormat"):
        method_class("icl").build(frozen, PromptFormat(target="toys:toy_task"))


def test_a_method_of_ones_own_is_named_by_module_and_class():
    assert method_class("metaicl.methods.baselines.chance:MajorityAnswer") is MajorityAnswer
    with pytest.raises(UserError, match=r"tiny_model is not a method; expected a subclass of"):
        method_class("metaicl.lm.tiny:tiny_model").build(None, PromptFormat())  # type: ignore[arg-type]
