"""What binds a format to one task."""

from __future__ import annotations

import pytest

from task_suites.example import Example
from task_suites.formats.bound import UNBOUND
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Task


def task(name: str) -> Task:
    examples = [Example("x", "yes", ("yes", "no")), Example("y", "no", ("yes", "no"))]
    return Task(name, "classification", lambda split: examples, labels=("yes", "no"))


def test_binding_leaves_the_format_as_it_was_and_takes_part_in_no_comparison():
    form = PromptFormat(verbalizer={"yes": "ja", "no": "nein"})
    bound = form.of(task("a"))
    assert form.bound is None and bound.bound is not None and bound == form
    assert dict(bound.bound.words) == {"yes": "ja", "no": "nein"}


def test_a_format_is_bound_once_for_a_task_and_again_for_another():
    form, one, other = PromptFormat(label_words="random"), task("a"), task("b")
    bound = form.of(one)
    assert bound.of(one) is bound
    assert bound.of(other).bound.words == form.of(other).bound.words != bound.bound.words


def test_a_format_that_needs_no_task_is_not_copied():
    form = PromptFormat()
    assert form.of(task("a")) is form and form._bound is UNBOUND


def test_a_format_that_needs_a_task_says_so():
    with pytest.raises(AssertionError, match="call of"):
        PromptFormat(label_words="random").written(Example("x", "yes", ("yes", "no")))
