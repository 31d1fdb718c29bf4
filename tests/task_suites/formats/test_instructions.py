"""How an instruction is given before the first demonstration."""

from __future__ import annotations

from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Illustration, Task

TASK = Task(
    "toy",
    "generation",
    lambda split: (),
    instruction="Add the numbers",
    positive=(Illustration("1 2", "3", "one and two"), Illustration("2 2", "4")),
    negative=(Illustration("1 1", "11", "joined, not added"),),
)


def given(task: Task = TASK, **fields: object) -> str:
    form = PromptFormat(instruction=True, **fields)  # type: ignore[arg-type]
    return "".join(segment.text for segment in form.opening(task))


def test_a_line_is_the_instruction_and_a_separator():
    assert given() == "Add the numbers\n\n"
    assert given(TASK.replace(instruction="")) == ""


def test_a_definition_has_the_wording_of_tk_instruct():
    assert given(instruction_style="definition", positive=1, negative=1, explanations=True) == (
        "Definition: Add the numbers.\n\n"
        " Positive Example 1 -\nInput: 1 2.\n Output: 3.\n Explanation: one and two.\n\n"
        " Negative Example 1 -\nInput: 1 1.\n Output: 11.\n Explanation: joined, not added.\n\n"
        "Now complete the following example -\n"
    )


def test_explanations_and_illustrations_are_left_out_on_demand():
    text = given(instruction_style="definition", positive=2, negative=0)
    assert "Explanation" not in text and "Negative" not in text and "Positive Example 2 -\nInput: 2 2." in text
