"""A prompt in parts: together they are the text that the model reads, and each demonstration is known by its index."""

from __future__ import annotations

import pytest
from on_toys import built

from metaicl.inference.fitted import FittedMethod
from metaicl.inference.rendering import Part, prompt_parts
from metaicl.lm.prompts import Prompt
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat

LABELS = ("fruit", "tool")
SUPPORT = [Example(text, LABELS[i % 2], LABELS) for i, text in enumerate(["a fig", "a saw", "a pear"])]
QUERY = Example("a lime", None, LABELS)


def fitted(method, support=SUPPORT, instruction="") -> FittedMethod:
    return FittedMethod.around(method, support, LABELS, instruction)


def test_the_parts_are_the_text_of_the_prompt_and_its_query(frozen):
    of = fitted(built("icl", frozen))
    parts = prompt_parts(of, QUERY)
    prompt = Prompt(frozen, PromptFormat(), of.task, SUPPORT)
    assert "".join(part.text for part in parts) == prompt.text + of.method.form_of(of.task).question(QUERY).text
    assert [(part.demonstration, part.text.strip()) for part in parts if part.kind == "answer"] == [
        (0, "fruit"),
        (1, "tool"),
        (2, "fruit"),
    ]
    assert parts[-1].kind == "query" and QUERY.input in parts[-1].text


def test_an_instruction_is_the_first_part_and_no_demonstrations(frozen):
    from metaicl.methods.in_context.icl import InContext

    method = InContext.build(frozen, PromptFormat(instruction=True), {})
    first, *others = prompt_parts(fitted(method, instruction="Say what it is."), QUERY)
    assert (first.kind, first.demonstration) == ("instruction", None) and "Say what it is." in first.text
    assert "instruction" not in {part.kind for part in others}


def test_equal_demonstrations_have_an_index_each(frozen):
    parts = prompt_parts(fitted(built("icl", frozen), [SUPPORT[0], SUPPORT[1], SUPPORT[0]]), QUERY)
    assert [part.demonstration for part in parts if part.kind == "answer"] == [0, 1, 2]


def test_only_the_demonstrations_of_the_querys_own_prompt_are_there(frozen):
    nearest = built("icl", frozen, shown=1, selection="nearest")
    for text, index in (("a fig", 0), ("a saw", 1), ("a pear", 2)):
        parts = prompt_parts(fitted(nearest, [*SUPPORT, Example("the moon", "tool", LABELS)]), Example(text[2:] + " x"))
        assert {part.demonstration for part in parts if part.kind != "query"} == {index}


@pytest.mark.parametrize("name", ["knn", "majority"])
def test_a_method_without_a_prompt_has_no_parts(frozen, name):
    assert prompt_parts(fitted(built(name, frozen)), QUERY) == []


def test_zero_shot_has_the_query_alone(frozen):
    assert prompt_parts(fitted(built("zero_shot", frozen)), QUERY) == [
        Part("query", PromptFormat().of(fitted(built("zero_shot", frozen)).task, None).question(QUERY).text)
    ]
